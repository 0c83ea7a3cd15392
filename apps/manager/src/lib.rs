//! Contract pending: see the module list in ARCHITECTURE.md.
