//! The rings between workers: single producer, single consumer, one for each ordered pair.

use std::sync::Arc;

use bartizan_engine::verdict::{PeerMessage, Port};
use bartizan_packet::frame::Meta;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::wake::Bell;

/// Items a ring holds. Frames of one flow handed over at line rate while the owner is busy for a
/// millisecond fit; more is better dropped than queued.
const RING_ITEMS: usize = 1024;

/// What goes from one worker to another, in order.
#[derive(Debug)]
pub enum Item {
    /// Something to know.
    Message(PeerMessage),
    /// A frame that belongs to the other.
    Frame {
        /// Where it came in.
        port: Port,
        /// Its offload state.
        meta: Meta,
        /// Headroom, then the frame.
        bytes: Vec<u8>,
    },
}

/// One worker's ends of the rings.
pub struct Peers {
    inboxes: Vec<Consumer<Item>>,
    /// By worker; `None` at its own position.
    outboxes: Vec<Option<(Producer<Item>, Arc<Bell>)>>,
}

impl Peers {
    /// The ends for all workers, given their bells.
    pub fn mesh(bells: &[Arc<Bell>]) -> Vec<Self> {
        let mut all: Vec<Self> = bells.iter().map(|_| Self { inboxes: Vec::new(), outboxes: Vec::new() }).collect();
        for from in 0..bells.len() {
            for (to, bell) in bells.iter().enumerate() {
                if from == to {
                    all[from].outboxes.push(None);
                } else {
                    let (producer, consumer) = RingBuffer::new(RING_ITEMS);
                    all[from].outboxes.push(Some((producer, Arc::clone(bell))));
                    all[to].inboxes.push(consumer);
                }
            }
        }
        all
    }

    /// The next item from any peer.
    pub fn hear(&mut self) -> Option<Item> {
        self.inboxes.iter_mut().find_map(|inbox| inbox.pop().ok())
    }

    /// Sends to one peer; false when its ring is full (or it does not exist).
    pub fn tell(&mut self, to: u16, item: Item) -> bool {
        let Some(Some((outbox, bell))) = self.outboxes.get_mut(usize::from(to)) else { return false };
        let sent = outbox.push(item).is_ok();
        bell.ring();
        sent
    }

    /// Sends a message to one peer, or to all; how many did not get it.
    pub fn tell_message(&mut self, to: Option<u16>, message: PeerMessage) -> u64 {
        match to {
            Some(to) => u64::from(!self.tell(to, Item::Message(message))),
            None => self
                .outboxes
                .iter_mut()
                .flatten()
                .map(|(outbox, bell)| {
                    let sent = outbox.push(Item::Message(message)).is_ok();
                    bell.ring();
                    u64::from(!sent)
                })
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bells(count: usize) -> Vec<Arc<Bell>> {
        (0..count).map(|_| Arc::new(Bell::new().unwrap())).collect()
    }

    fn news(last: u8) -> PeerMessage {
        PeerMessage::Neighbor { port: Port::Local, address: [10, 0, 0, last].into(), mac: [2, 0, 0, 0, 0, last] }
    }

    #[test]
    fn everyone_but_the_teller_hears_news_in_order() {
        let mut peers = Peers::mesh(&bells(3));
        assert_eq!(peers[1].tell_message(None, news(1)), 0);
        assert_eq!(peers[1].tell_message(Some(2), news(2)), 0);
        assert!(peers[1].hear().is_none());
        assert!(matches!(peers[0].hear(), Some(Item::Message(message)) if message == news(1)));
        assert!(peers[0].hear().is_none());
        assert!(matches!(peers[2].hear(), Some(Item::Message(message)) if message == news(1)));
        assert!(matches!(peers[2].hear(), Some(Item::Message(message)) if message == news(2)));
    }

    #[test]
    fn a_full_ring_refuses_and_says_so() {
        let mut peers = Peers::mesh(&bells(2));
        for _ in 0..RING_ITEMS {
            assert_eq!(peers[0].tell_message(None, news(1)), 0);
        }
        assert_eq!(peers[0].tell_message(None, news(1)), 1);
        assert_eq!(peers[0].tell_message(Some(9), news(1)), 1);
    }
}
