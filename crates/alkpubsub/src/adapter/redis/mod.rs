//! A Redis server between the ends: topics are channels. What the link does with a hub it does here with Redis, whose
//! answers the socket puts into the hub's words.

mod lane;
mod message;
mod options;
mod received;
mod socket;
mod target;

pub use options::RedisOptions;
pub use target::RedisEventTarget;
