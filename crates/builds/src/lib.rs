//! What a project builds: Dockerfiles, and what compose and bake say of their own files.
