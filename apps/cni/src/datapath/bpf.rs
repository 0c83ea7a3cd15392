//! How are maps and programs made, pinned and read? `bpf(2)`, behind safe types.

#![expect(unsafe_code, reason = "bpf(2) has no counterpart in std")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};

// From linux/bpf.h.
const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_NEXT_KEY: i32 = 4;
const PROG_LOAD: i32 = 5;
const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const NO_PREALLOC: u32 = 1;

/// Bytes of `union bpf_attr` that are handed to the kernel; what it does not know must be zero.
const ATTRIBUTE_BYTES: usize = 128;
/// What the kernel may say about a program that it refuses.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What a map is, by its number in linux/bpf.h.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Kind {
    Array = 2,
    PerCpuArray = 6,
    LruHash = 9,
    LpmTrie = 11,
}

/// What a map is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) key: usize,
    pub(crate) value: usize,
    pub(crate) entries: u32,
}

/// A map of the kernel.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    shape: Shape,
    /// Bytes that a look-up writes: one value, or one for each processor.
    answer: usize,
}

impl Map {
    /// Opens the map that is pinned there, or makes and pins it.
    ///
    /// # Errors
    /// When neither is possible; needs CAP_BPF and CAP_NET_ADMIN in the initial user namespace.
    pub(crate) fn open_or_make(path: &Path, shape: Shape) -> Result<Self> {
        if let Some(map) = Self::open(path, shape)? {
            return Ok(map);
        }
        let made = Self::make(shape)?;
        match pin(&made.fd, path) {
            Ok(()) => Ok(made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::open(path, shape)?.with_context(|| format!("the map `{}` went away", path.display()))
            }
            Err(error) => Err(error).with_context(|| format!("pin a map as `{}`", path.display())),
        }
    }

    /// Opens the map that is pinned there, if one is.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than that there is none.
    pub(crate) fn open(path: &Path, shape: Shape) -> Result<Option<Self>> {
        match open_pinned(path) {
            Ok(fd) => Self::with(fd, shape).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("open the map `{}`", path.display())),
        }
    }

    fn make(shape: Shape) -> Result<Self> {
        let flags = if matches!(shape.kind, Kind::LpmTrie) { NO_PREALLOC } else { 0 };
        let mut attribute = Attribute::new();
        attribute.words(0, &[shape.kind as u32, shape.key as u32, shape.value as u32, shape.entries, flags]);
        let fd = attribute.open(MAP_CREATE).context("make a BPF map (needs CAP_BPF and CAP_NET_ADMIN)")?;
        Self::with(fd, shape)
    }

    fn with(fd: OwnedFd, shape: Shape) -> Result<Self> {
        let answer = match shape.kind {
            Kind::PerCpuArray => shape.value.next_multiple_of(8) * processors()?,
            _ => shape.value,
        };
        Ok(Self { fd, shape, answer })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The value of a key, or each processor's, one after the other.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.answer];
        let mut attribute = self.element(key);
        attribute.pointer(16, value.as_mut_ptr());
        match attribute.call(MAP_LOOKUP_ELEM) {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read a BPF map"),
        }
    }

    /// Sets the value of a key.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        assert_eq!(value.len(), self.shape.value, "the value is as long as the map's");
        let mut attribute = self.element(key);
        attribute.pointer(16, value.as_ptr());
        attribute.call(MAP_UPDATE_ELEM).map(drop).context("write a BPF map")
    }

    /// Removes a key, if it is there.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        match self.element(key).call(MAP_DELETE_ELEM) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context("remove from a BPF map"),
        }
    }

    /// All keys; at most as many as the map holds.
    pub(crate) fn keys(&self) -> Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < self.shape.entries as usize {
            let mut next = vec![0; self.shape.key];
            let mut attribute = Attribute::new();
            attribute.words(0, &[self.fd.as_raw_fd() as u32]);
            if let Some(last) = keys.last() {
                attribute.pointer(8, last.as_ptr());
            }
            attribute.pointer(16, next.as_mut_ptr());
            match attribute.call(MAP_GET_NEXT_KEY) {
                Ok(_) => keys.push(next),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error).context("list a BPF map"),
            }
        }
        Ok(keys)
    }

    fn element(&self, key: &[u8]) -> Attribute {
        assert_eq!(key.len(), self.shape.key, "the key is as long as the map's");
        let mut attribute = Attribute::new();
        attribute.words(0, &[self.fd.as_raw_fd() as u32]);
        attribute.pointer(8, key.as_ptr());
        attribute
    }
}

/// Loads a classifier.
///
/// # Errors
/// When the kernel refuses it; with what it says about the program.
pub(crate) fn load(program: &[u64]) -> Result<OwnedFd> {
    let licence = c"Apache-2.0";
    let mut attribute = Attribute::new();
    attribute.words(0, &[PROG_TYPE_SCHED_CLS, program.len() as u32]);
    attribute.pointer(8, program.as_ptr());
    attribute.pointer(16, licence.as_ptr());
    let error = match attribute.open(PROG_LOAD) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    let mut said = vec![0u8; REFUSAL_BYTES];
    attribute.words(24, &[1, REFUSAL_BYTES as u32]);
    attribute.pointer(32, said.as_mut_ptr());
    // The second attempt is for its explanation, but may well succeed (memory was short, say).
    if let Ok(fd) = attribute.open(PROG_LOAD) {
        return Ok(fd);
    }
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.trim_end_matches('\0').lines().rev().take(4).collect();
    Err(error).with_context(|| format!("load a BPF program; the kernel says: {}", last.join(" < ")))
}

fn pin(fd: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attribute = Attribute::new();
    attribute.pointer(0, path.as_ptr());
    attribute.words(8, &[fd.as_raw_fd() as u32]);
    attribute.call(OBJ_PIN).map(drop)
}

fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attribute = Attribute::new();
    attribute.pointer(0, path.as_ptr());
    attribute.open(OBJ_GET)
}

/// Processors that this kernel may ever have: `0-7` or `0`.
fn processors() -> Result<usize> {
    let path = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(path).with_context(|| format!("read `{path}`"))?;
    let last = text.trim().rsplit([',', '-']).next().unwrap_or_default();
    let last: usize = last.parse().with_context(|| format!("`{path}` says `{}`", text.trim()))?;
    Ok(last + 1)
}

/// `union bpf_attr`, field by field.
struct Attribute([u64; ATTRIBUTE_BYTES / 8]);

impl Attribute {
    fn new() -> Self {
        Self([0; ATTRIBUTE_BYTES / 8])
    }

    /// 32-bit fields from an offset in bytes on.
    fn words(&mut self, offset: usize, words: &[u32]) {
        for (at, word) in words.iter().enumerate() {
            let place = offset / 4 + at;
            let shift = if cfg!(target_endian = "little") { place % 2 * 32 } else { (1 - place % 2) * 32 };
            self.0[place / 2] = self.0[place / 2] & !(u64::from(u32::MAX) << shift) | u64::from(*word) << shift;
        }
    }

    /// A pointer at an offset in bytes, a multiple of 8. What it points to must live until the call.
    fn pointer<T>(&mut self, offset: usize, pointer: *const T) {
        self.0[offset / 8] = pointer as u64;
    }

    /// Calls; the result is a descriptor for the commands that make one.
    fn call(&mut self, command: i32) -> io::Result<RawFd> {
        // SAFETY: the attribute is a live array of the given size; the pointers in it are to objects that the
        // callers keep until this returns, as long as the command's layout in linux/bpf.h wants them (keys and
        // values are held to the map's sizes).
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), ATTRIBUTE_BYTES) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
    }

    fn open(&mut self, command: i32) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the command made this descriptor, and it belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_looks_for_them() {
        let mut attribute = Attribute::new();
        attribute.words(0, &[1, 2, 3]);
        attribute.words(4, &[9]);
        let bytes: Vec<u8> = attribute.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4), word(8), word(12)), (1, 9, 3, 0));
    }
}
