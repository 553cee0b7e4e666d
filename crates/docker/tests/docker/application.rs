//! The application that engines build in tests.

/// Its base image.
pub(crate) const BASE: &str = "FROM scratch\n\
    COPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin\"]\n\
    ENV PATH=/bin\n";

/// Three stages; metadata in the middle; steps that both builders count.
pub(crate) const DOCKERFILE: &str = "FROM base:1 AS build\n\
    WORKDIR /app\n\
    ENV A=1\n\
    COPY package.json /app/\n\
    RUN mkdir modules && for i in $(seq 300); do echo $i > modules/$i; done\n\
    COPY src /app/src\n\
    RUN cat src/* > out\n\
    FROM base:1 AS assets\n\
    RUN echo css > /css\n\
    LABEL kind=assets\n\
    FROM base:1\n\
    LABEL x=y\n\
    RUN echo runtime > /runtime\n\
    COPY --from=assets /css /css\n\
    COPY --from=build /app/out /out\n\
    RUN cat /out > /final\n\
    CMD [\"cat\", \"/final\"]\n";
