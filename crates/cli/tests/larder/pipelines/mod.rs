//! What CI systems do with configurations of ours: two jobs on two machines, of which the second hits.

mod action;
mod newcomer;
mod player;
mod plugin;
mod proposed;
