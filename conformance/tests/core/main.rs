//! What the core promises, in virtual time and without a runtime. One module is one part of the protocol.

mod bulk;
mod cancelling;
mod cancels;
mod chunking;
mod clauses;
mod closing;
mod credit;
mod determinism;
mod draining;
mod fleet;
mod hostile;
mod interleaving;
mod lanes;
mod limits_of_life;
mod liveness;
mod nesting;
mod outcomes;
mod promises;
mod timers;
mod writing;
