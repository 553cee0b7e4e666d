//! Builds as the tools of record describe them. These tests ask the real `docker compose` and `docker
//! buildx`.

mod cases;
mod choices;
mod kit;
mod record;
mod trouble;
