#![allow(unsafe_code, missing_docs)]
use alkpubsub::protocol::check::{self, MessageLimits};
use alkpubsub::protocol::link::{Heard, Link, LinkOptions};
use alkpubsub::protocol::Message;
use std::cell::RefCell;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Text { Control(String), Event(u32) }
impl Message for Text {
    fn from_text(text: String) -> Self { Self::Control(text) }
    fn weight(&self) -> usize { match self { Self::Control(t) => t.len(), Self::Event(w) => *w as usize } }
    fn is_control(&self) -> bool { matches!(self, Self::Control(_)) }
}
struct Core { input: Vec<u8>, link: Link<Text>, topics: hashbrown::HashMap<Box<str>, u32>, out: [u32; 8], key: String, text: String }
thread_local! { static CORE: RefCell<Core> = RefCell::new(Core { input: vec![0; 256], link: Link::new(LinkOptions::DEFAULT), topics: Default::default(), out: [0; 8], key: String::new(), text: String::new() }); }
fn with<R>(f: impl FnOnce(&mut Core) -> R) -> R { CORE.with(|c| f(&mut c.borrow_mut())) }

#[unsafe(no_mangle)]
pub extern "C" fn input(len: u32) -> *mut u8 { with(|c| { if c.input.len() < len as usize { c.input.resize(len as usize, 0); } c.input.as_mut_ptr() }) }
#[unsafe(no_mangle)]
pub extern "C" fn out() -> *mut u32 { with(|c| c.out.as_mut_ptr()) }
#[unsafe(no_mangle)]
pub extern "C" fn want(len: u32, now: f64) -> u32 { with(|c| {
    let topic = std::str::from_utf8(&c.input[..len as usize]).unwrap_or("");
    let n = c.topics.len() as u32 + 1;
    let n = *c.topics.entry(topic.into()).or_insert(n);
    let _ = c.link.want(topic, Duration::from_secs_f64(now / 1000.0));
    n }) }
#[unsafe(no_mangle)]
pub extern "C" fn send(weight: u32) -> u32 { with(|c| u32::from(c.link.send(Text::Event(weight)))) }
#[unsafe(no_mangle)]
pub extern "C" fn pop() -> u32 { with(|c| match c.link.pop() { None => 0, Some(Text::Event(_)) => 1, Some(Text::Control(t)) => { c.out[0] = t.as_ptr() as u32; c.out[1] = t.len() as u32; c.text = t; 2 } }) }
#[unsafe(no_mangle)]
pub extern "C" fn admit(len: u32) -> u32 { with(|c| { let Ok(t) = std::str::from_utf8(&c.input[..len as usize]) else { return 2 }; u32::from(MessageLimits::DEFAULT.admit(t).is_ok()) }) }
#[unsafe(no_mangle)]
pub extern "C" fn receive(len: u32) -> u32 { with(|c| {
    let Core { input, link, topics, out, key, .. } = c;
    let parts = match check::parts(&input[..len as usize], &MessageLimits::DEFAULT) { Ok(p) => p, Err(_) => return 9 };
    match link.receive(&parts) {
        Ok(Heard::Event { after_gap }) => {
            key.clear(); key.push_str(&parts.event_type); key.push(':'); key.push_str(&parts.id);
            let Some(&n) = topics.get(key.as_str()) else { return 0 };
            out[0] = n; out[1] = u32::from(after_gap); out[2] = parts.event_type.len() as u32;
            if let Some(p) = parts.payload { let at = p.as_ptr() as usize - parts.text.as_ptr() as usize; out[3] = at as u32; out[4] = (at + p.len()) as u32; } else { out[4] = 0; }
            1 }
        Ok(_) => 2, Err(_) => 9,
    } }) }
