//! `--convert-callchain`: stacks become call chains as samples pass, and nothing else is changed. The code that is unwound has
//! made-up tables, by which the words of a stack are the return addresses.

#[path = "callchain/damaged.rs"]
mod damaged;
#[path = "callchain/events.rs"]
mod events;
#[path = "callchain/laws.rs"]
mod laws;
#[path = "callchain/made.rs"]
mod made;
#[path = "callchain/off_cpu.rs"]
mod off_cpu;
#[path = "callchain/order.rs"]
mod order;
#[path = "callchain/samples.rs"]
mod samples;
