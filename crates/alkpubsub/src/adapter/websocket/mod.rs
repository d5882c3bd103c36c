//! WebSocket: one text message is one envelope.

mod frame;
