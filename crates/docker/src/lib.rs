//! Any Docker engine through its API: where it is, its images, the two image streams.
