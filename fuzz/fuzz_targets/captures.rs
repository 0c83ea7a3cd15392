//! Can any file make the reader of captures panic, or read on for ever?
#![no_main]

use std::io::Cursor;
use std::path::Path;

use bartizan_firewall::port::pcap::Capture;
use bartizan_firewall::port::{Batch, Receiver};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut capture) = Capture::of(Path::new("input"), Cursor::new(data.to_vec())) else { return };
    let mut captured = 0;
    while let Ok(Some(record)) = capture.peek() {
        captured += record.captured_bytes;
        assert!(captured <= data.len(), "more than there is");
        assert!(record.original_bytes >= record.captured_bytes);
        let mut batch = Batch::new();
        capture.receive(&mut batch);
        let mut slot = batch.into_slots().next().expect("a frame");
        let frame = slot.frame().expect("a frame");
        assert!(frame.view().len() >= record.captured_bytes && frame.view().len() <= record.original_bytes);
        capture.release();
    }
});
