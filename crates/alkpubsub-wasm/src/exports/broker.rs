//! The same for a broker, which stands in for a hub.

use crate::broker;
use crate::with;

exports! {
    /// What the link's control event in the scratch memory asks for: 0 for nothing; 1 to subscribe, 2 to unsubscribe, the
    /// topic as text; 3 for an answer alone.
    fn broker_asked(length: u32) -> u32 {
        with(|instance| broker::asked(length as usize, &mut instance.shared))
    }

    /// What a hub would answer to it, as text: 0 for nothing. `refused`: the broker has refused the subscription.
    fn broker_answer(length: u32, refused: u32) -> u32 {
        with(|instance| u32::from(broker::answer(length as usize, refused != 0, &mut instance.shared)))
    }

    /// Whether the message in the scratch memory, behind a topic of so many bytes, is an event of that topic. If not, the
    /// text says what it is; what is no message at all is left to [`link_receive`](super::link_receive).
    fn broker_admits(topic: u32, length: u32) -> u32 {
        with(|instance| u32::from(broker::admits(topic as usize, length as usize, &mut instance.shared)))
    }
}
