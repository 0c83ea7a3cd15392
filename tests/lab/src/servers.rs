//! Servers that several labs have: nginx, which says who asks, and a cloud's DHCP.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Namespace, Process};

/// Of the page `/large`, which takes many segments.
const LARGE_BYTES: usize = 3_000_000;
const LIMIT: Duration = Duration::from_secs(30);

/// nginx on one host. Each page is the host's name and who asks; `/large` is [`large`].
///
/// # Errors
/// When it cannot be started.
pub fn nginx(lab: &Path, host: &Namespace, listen: &[&str]) -> Result<Process> {
    let name = host.name();
    let dir = lab.join(format!("nginx-{name}"));
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("large"), large())?;
    let path = dir.display();
    let listen: String = listen.iter().map(|address| format!("listen {address};")).collect();
    let configuration = dir.join("nginx.conf");
    std::fs::write(
        &configuration,
        format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr; user root;
events {{}}
http {{
  access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi; default_type text/plain;
  server {{
    {listen}
    location / {{ return 200 \"{name} answers $remote_addr\\n\"; }}
    location = /large {{ root {path}; }}
  }}
}}
"
        ),
    )?;
    host.spawn(
        &["nginx", "-e", "stderr", "-c", &configuration.to_string_lossy()],
        &[],
        &lab.join(format!("nginx-{name}.log")),
    )
}

/// Waits until a host listens on a TCP port.
///
/// # Errors
/// When it does not in time.
pub fn await_listener(host: &Namespace, port: u16) -> Result<()> {
    crate::process::eventually(&format!("port {port} on `{}` listens", host.name()), LIMIT, || {
        let listening = host.run(&["ss", "-Hltn", &format!("sport = :{port}")])?;
        (!listening.is_empty()).then_some(()).context("nobody listens")
    })
}

/// The page `/large`.
pub fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect()
}

/// dnsmasq as a cloud's DHCP: one address and mask for whoever asks on `device`, and the gateway.
///
/// # Errors
/// When it does not come up.
pub fn dhcp(
    lab: &Path,
    host: &Namespace,
    device: &str,
    (address, mask): (&str, &str),
    gateway: &str,
) -> Result<Process> {
    let leases = format!("--dhcp-leasefile={}", lab.join(format!("leases-{address}")).display());
    let range = format!("--dhcp-range={address},{address},255.255.255.0,2m");
    let (interface, mask) = (format!("--interface={device}"), format!("--dhcp-option-force=option:netmask,{mask}"));
    let gateway = format!("--dhcp-option-force=option:router,{gateway}");
    let words = [
        &["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0"][..],
        &["--bind-interfaces", "--dhcp-authoritative", "--log-facility=-", "--no-ping", "--pid-file="],
        &[&interface, &mask, &gateway, &range, &leases],
    ]
    .concat();
    let mut process = host.spawn(&words, &[], &lab.join(format!("dnsmasq-{address}.log")))?;
    process.wait_for("DHCP, IP range", LIMIT)?;
    Ok(process)
}
