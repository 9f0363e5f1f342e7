//! What delivery promises: nothing is lost, each lane keeps its order, one failure stops one lane.

mod acts;
mod crash;
mod failures;
mod order;
mod rig;
