//! Which configuration do the fuzz targets share?

/// The configuration that the targets with a firewall, or with a configuration tree, begin with.
pub const CONFIG: &str = include_str!("config.xml");
