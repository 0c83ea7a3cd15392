//! What do the bench, the soak and the tests send through a firewall that no common tool sends?
//!
//! Small programs for the hosts of a lab, run as `probe NAME ARGUMENTS` (`tests/lab/src/bin/probe.rs`).

mod flows;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// UDP payload of a 64-byte frame, with its checksum (FCS) on the wire.
const SMALL: usize = 18;
/// Frames sent without a look at the clock.
const SALVO: u32 = 32;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the named program; gives back what it has to say.
///
/// # Errors
/// When there is no such program, an argument cannot be read, or the network refuses.
pub fn run(words: &[String]) -> Result<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["echo", at] => echo(at.parse()?),
        ["ping", to, count, pause_us] => {
            ping(to.parse()?, count.parse()?, Duration::from_micros(pause_us.parse()?)).map(|time| time.to_string())
        }
        ["flood", to, per_second, seconds] => {
            flood(to.parse()?, per_second.parse()?, Duration::from_secs(seconds.parse()?)).map(|sent| sent.to_string())
        }
        ["connect", to, per_second, seconds] => {
            let (done, failed) = connect(to.parse()?, per_second.parse()?, Duration::from_secs(seconds.parse()?))?;
            Ok(format!("{done} {failed}"))
        }
        ["ask", to, per_second, seconds] => {
            ask(to.parse()?, per_second.parse()?, Duration::from_secs(seconds.parse()?)).map(|sent| sent.to_string())
        }
        ["record", at] => flows::record(at.parse()?),
        ["many", device, gateway, from, to, flows] => {
            let (answered, wrong) = flows::many(device, gateway, from.parse()?, to.parse()?, flows.parse()?)?;
            Ok(format!("{answered} answered, {wrong} by somebody else's answer"))
        }
        _ => bail!(
            "usage: probe echo ADDRESS | ping ADDRESS COUNT PAUSE_US | flood ADDRESS PER_SECOND SECONDS \
             | connect ADDRESS PER_SECOND SECONDS | ask ADDRESS PER_SECOND SECONDS \
             | record ADDRESS | many DEVICE GATEWAY_MAC FIRST_SOURCE ADDRESS FLOWS"
        ),
    }
}

/// Sends every datagram back, for ever.
fn echo(at: SocketAddr) -> Result<String> {
    let socket = UdpSocket::bind(at).with_context(|| format!("bind {at}"))?;
    let mut buffer = [0; 65_536];
    loop {
        // A reset of somebody who is gone is no reason to stop.
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

/// The median time of an answer in microseconds, asked `count` times with a pause in between.
fn ping(to: SocketAddr, count: usize, pause: Duration) -> Result<f64> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut times = Vec::with_capacity(count);
    let mut buffer = [0; 64];
    for number in 0..count as u64 {
        let start = Instant::now();
        socket.send(&number.to_be_bytes())?;
        while socket.recv(&mut buffer).is_ok() {
            // The answer of an earlier one that came too late is not this one's.
            if buffer.starts_with(&number.to_be_bytes()) {
                times.push(start.elapsed().as_secs_f64() * 1e6);
                break;
            }
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    if times.len() * 10 < count * 9 {
        bail!("{} of {count} answers came", times.len());
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("nothing was asked")
}

/// Does `work` so many times a second, as far as it comes with it; `work` is given its number.
fn paced(per_second: u32, time: Duration, salvo: u32, mut work: impl FnMut(u32)) -> u32 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u32;
        if due < done + salvo {
            std::thread::sleep(Duration::from_secs_f64(f64::from(done + salvo - due) / f64::from(per_second)));
            continue;
        }
        for _ in 0..salvo {
            work(done);
            done += 1;
        }
    }
    done
}

/// Small datagrams of one flow.
fn flood(to: SocketAddr, per_second: u32, time: Duration) -> Result<u32> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(to)?;
    let mut sent = 0;
    paced(per_second, time, SALVO, |_| sent += u32::from(socket.send(&[0; SMALL]).is_ok()));
    Ok(sent)
}

/// HTTP requests with a connection each: how many were answered, and how many not.
fn connect(to: SocketAddr, per_second: u32, time: Duration) -> Result<(u32, u32)> {
    let (mut answered, mut failed) = (0, 0);
    paced(per_second, time, 1, |_| match request(to) {
        Ok(_) => answered += 1,
        Err(_) => failed += 1,
    });
    if answered == 0 {
        bail!("none of {failed} requests was answered");
    }
    Ok((answered, failed))
}

fn request(to: SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let read = stream.read_to_end(&mut Vec::new())?;
    if read == 0 {
        bail!("an empty answer");
    }
    Ok(read)
}

/// Datagrams of a flow each, some of them so long that they come in fragments.
fn ask(to: SocketAddr, per_second: u32, time: Duration) -> Result<u32> {
    const LENGTHS: [usize; 4] = [9, 700, 1400, 4000];
    let mut sent = 0;
    paced(per_second, time, 1, |number| {
        let length = LENGTHS[number as usize % LENGTHS.len()];
        let asked = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| socket.send_to(&vec![0x5a; length], to));
        sent += u32::from(asked.is_ok());
    });
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_kept() {
        let start = Instant::now();
        let done = paced(1000, Duration::from_millis(200), 10, |_| {});
        assert!((100..=210).contains(&done), "{done} in {:?}", start.elapsed());
    }

    #[test]
    fn a_ping_is_answered_by_an_echo() {
        let free = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        std::thread::spawn(move || echo(free));
        std::thread::sleep(Duration::from_millis(100));
        let median = ping(free, 5, Duration::ZERO).unwrap();
        assert!(median > 0.0 && median < 1e6, "{median} us");
    }

    #[test]
    fn an_unknown_program_is_answered_with_the_known_ones() {
        let error = run(&["walk".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("usage: probe echo"), "{error}");
    }
}
