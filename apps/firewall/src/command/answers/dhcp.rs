//! `show dhcp client state`, `request dhcp client`: what did interfaces learn by DHCP?

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use bartizan_model::device::interface_name;

use crate::command::Command;
use crate::command::answer::{Answer, DhcpClient};
use crate::dhcp::{Order, View};
use crate::firewall::Firewall;

/// The clients of one interface, or of all.
pub(super) fn state(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let wanted = interface_name(command.value("state").unwrap_or("all"));
    let views = firewall.dhcp().map(crate::dhcp::Handle::views).unwrap_or_default();
    let known: Vec<_> = views.iter().map(|view| format!("`{}`", view.interface)).collect();
    let now = firewall.clock().now();
    let rows: Vec<_> =
        views.iter().filter(|view| wanted == "all" || view.interface == wanted).map(|view| row(view, now)).collect();
    if rows.is_empty() && wanted != "all" {
        return Err(format!("`{wanted}` has no DHCP client; those that have: {}", known.join(", ")));
    }
    Ok(Answer::DhcpClients(rows))
}

/// Has the client of one interface do something.
pub(super) async fn order(command: &Command, firewall: &Firewall, order: Order) -> Result<Answer, String> {
    let word = match order {
        Order::Renew => "renew",
        Order::Release => "release",
    };
    let interface = interface_name(command.value(word).unwrap_or_default());
    let handle = firewall.dhcp().ok_or("the DHCP clients are not started yet")?;
    let view = handle.order(&interface, order).await?;
    Ok(Answer::DhcpClients(vec![row(&view, firewall.clock().now())]))
}

fn row(view: &View, now: Time) -> DhcpClient {
    let lease = view.lease.as_ref();
    let seconds = |time: Time| time.since(now) / SECOND;
    DhcpClient {
        interface: view.interface.clone(),
        state: view.standing.as_str(),
        address: lease.map_or_else(String::new, |lease| lease.network.to_string()),
        gateway: lease.and_then(|lease| lease.gateway).map_or_else(String::new, |gateway| gateway.to_string()),
        server: lease.map_or_else(String::new, |lease| lease.server.to_string()),
        leased_until_s: lease.and_then(|lease| lease.expires).map(seconds),
        renewed_in_s: lease.filter(|lease| lease.expires.is_some()).map(|lease| seconds(lease.renew_at)),
    }
}
