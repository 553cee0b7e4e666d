//! What base images are today, and what is remembered of that.
