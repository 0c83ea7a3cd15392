//! Socket options that std and libc have no safe call for.

#![expect(unsafe_code, reason = "socket options of packet and XDP sockets have no counterpart in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A raw socket of a family.
///
/// # Errors
/// When the kernel refuses: rights are missing, or it does not know the family.
pub(super) fn open(family: i32) -> io::Result<OwnedFd> {
    // Protocol 0: no frame arrives before `bind` names the device.
    // SAFETY: a system call without pointers; the descriptor is owned from here on.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds to an address of the socket's family.
pub(super) fn bind<T: Address>(socket: &OwnedFd, address: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a live address structure and the length is its size.
    let result = unsafe {
        libc::bind(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), size_of::<T>() as libc::socklen_t)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Structures that begin with an address family.
pub(super) trait Address {}
impl Address for libc::sockaddr_ll {}
impl Address for libc::sockaddr_xdp {}

/// Option values that any bytes are a valid value of.
pub(super) trait Plain {}
impl Plain for i32 {}
impl Plain for libc::xdp_mmap_offsets {}
impl Plain for libc::xdp_options {}
impl Plain for libc::xdp_statistics {}

/// Reads an option; `None` when the kernel does not have it.
pub(super) fn get_option<T: Plain>(socket: &OwnedFd, level: i32, option: i32) -> Option<T> {
    // SAFETY: all zeroes are a value of a `Plain` type.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into a live value of that size, and any bytes are
    // a value of a `Plain` type.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}

/// Sets an option to a value of the type that the option takes.
pub(super) fn set_option<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a live value and the length is its size; each caller passes the type the
    // option takes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
