//! What has zone protection done, and whom does it block?

use bartizan_engine::protection::{BlockView, ProtectionView};
use bartizan_model::device::{Check, FloodKind, ScanKind};
use bartizan_policy::tables::{Compiled, ZoneId};

use super::on_all;
use super::values::{network, zone_id};
use crate::command::Command;
use crate::command::answer::protection::{Block, CheckRow, FloodRow, ScanRow, ZoneProtection};
use crate::command::answer::{Answer, Cleared};
use crate::firewall::Firewall;

/// `show zone-protection`, of one zone or of all that have a profile.
pub(super) async fn zones(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let tables = &running.compiled;
    let wanted: Vec<ZoneId> = match command.value("zone") {
        Some(name) => vec![zone_id(tables, name)?],
        None => {
            let all = (0..tables.ids().zones.len()).map(|at| ZoneId(at as u16));
            all.filter(|zone| tables.protection(*zone).is_some()).collect()
        }
    };
    let asked = wanted.clone();
    let found = on_all(firewall, move |inside| {
        asked.iter().map(|zone| inside.engine.protection(*zone, inside.now)).collect::<Vec<_>>()
    })
    .await?;
    let rows = wanted.iter().enumerate().map(|(at, zone)| {
        let mut sum = ProtectionView::default();
        found.iter().filter_map(|views| views.get(at)?.as_ref()).for_each(|view| sum.add(view));
        row(tables, *zone, &sum)
    });
    Ok(Answer::ZoneProtection(rows.collect()))
}

/// `show dos-block-table`.
pub(super) async fn blocks(firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let found =
        on_all(firewall, |inside| (inside.engine.blocks(inside.now).collect::<Vec<BlockView>>(), inside.now)).await?;
    let mut rows: Vec<Block> = found
        .into_iter()
        .flat_map(|(blocks, now)| blocks.into_iter().map(move |block| (block, now)))
        .map(|(block, now)| Block {
            zone: running.compiled.zone_name(block.zone).to_owned(),
            source: block.source.to_string(),
            destination: block.destination.map_or_else(String::new, |address| address.to_string()),
            scan: block.kind.as_str(),
            remaining_s: block.until.since(now).div_ceil(1_000_000_000),
        })
        .collect();
    // Workers tell one another whom they block.
    rows.sort_by(|a, b| {
        (&a.zone, &a.source, &a.destination, b.remaining_s).cmp(&(&b.zone, &b.source, &b.destination, a.remaining_s))
    });
    rows.dedup_by(|a, b| (&a.zone, &a.source, &a.destination) == (&b.zone, &b.source, &b.destination));
    Ok(Answer::Blocks(rows))
}

/// `clear dos-block-table`.
pub(super) async fn unblock(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let source = network(command, "source")?;
    let chosen = move |block: &BlockView| source.is_none_or(|network| network.contains(&block.source));
    let ended = on_all(firewall, move |inside| inside.engine.unblock(chosen, inside.now)).await?;
    // Each worker has the whole list.
    Ok(Answer::Unblocked(Cleared { cleared: ended.into_iter().max().unwrap_or(0) }))
}

fn row(tables: &Compiled, zone: ZoneId, view: &ProtectionView) -> ZoneProtection {
    let profile = tables.protection(zone);
    let floods = FloodKind::ALL.iter().map(|kind| {
        let (flood, count) = (profile.and_then(|profile| profile.floods[*kind as usize]), view.floods[*kind as usize]);
        FloodRow {
            kind: kind.as_str(),
            enabled: flood.is_some(),
            action: flood.map_or("", |flood| if flood.syn_cookies { "syn-cookies" } else { "red" }),
            alarm_rate: flood.map_or(0, |flood| flood.alarm),
            activate_rate: flood.map_or(0, |flood| flood.activate),
            maximal_rate: flood.map_or(0, |flood| flood.maximal),
            current: count.rate,
            dropped: count.dropped,
        }
    });
    let scans = ScanKind::ALL.iter().map(|kind| {
        let scan = profile.and_then(|profile| profile.scans[*kind as usize]);
        ScanRow {
            id: kind.threat_id(),
            name: kind.as_str(),
            enabled: scan.is_some(),
            action: scan.map_or("", |scan| scan.action.as_str()),
            interval_s: scan.map_or(0, |scan| scan.interval_s),
            threshold: scan.map_or(0, |scan| scan.threshold),
            found: view.scans[*kind as usize],
        }
    });
    let checks = Check::ALL.iter().map(|check| CheckRow {
        name: check.path().rsplit('/').next().unwrap_or_default(),
        ipv6: check.path().starts_with("ipv6/"),
        enabled: profile.is_some_and(|profile| profile.checks.contains(*check)),
        dropped: view.discarded[*check as usize],
    });
    ZoneProtection {
        zone: tables.zone_name(zone).to_owned(),
        profile: profile.map_or_else(String::new, |profile| profile.name.clone()),
        floods: floods.collect(),
        scans: scans.collect(),
        checks: checks.collect(),
        blocked: view.blocked,
    }
}
