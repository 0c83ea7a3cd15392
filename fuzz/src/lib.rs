//! Which firewall do the fuzz targets run?

/// A configuration with every kind of element that the targets' steps meet.
pub const CONFIG: &str = include_str!("config.xml");
