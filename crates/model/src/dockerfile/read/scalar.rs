//! Small values as Go's standard library reads them, since `BuildKit` accepts what Go accepts.

/// `strconv.ParseUint(text, radix, 32)`: digits only, no sign.
pub(crate) fn unsigned(text: &str, radix: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits
        .then(|| u32::from_str_radix(text, radix).ok())
        .flatten()
}

/// `time.ParseDuration`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if number == "." || number.matches('.').count() > 1 {
            return None;
        }
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    // Sums above 2^63 ns overflow in Go, too; what is below fits.
    (total < 9_223_372_036_854_775_808.0).then_some(if negative {
        -(total as i64)
    } else {
        total as i64
    })
}

/// Whether `--chmod` accepts it: an octal number up to 07777, or a symbolic mode such as
/// `u=rwX,go-w` (`dispatchCopy`; symbolic modes by the `dchapes-mode` package).
pub(crate) fn is_mode(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return unsigned(text, 8).is_some_and(|mode| mode <= 0o7777);
    }
    !text.is_empty() && text.split(',').all(is_symbolic_clause)
}

/// One or more of `+`, `-`, `=`, each with any number of permissions, after any number of classes.
fn is_symbolic_clause(clause: &str) -> bool {
    let actions = clause.trim_start_matches(['a', 'u', 'g', 'o']);
    actions.starts_with(['+', '-', '=']) && actions.chars().all(|c| "+-=rstwXxugo".contains(c))
}

/// Signals by name, without `SIG`.
const SIGNALS: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Whether `moby/sys/signal` knows the signal: a number other than 0, or a name with or without
/// `SIG` in any case (`signal.ParseSignal`, the Linux table).
pub(crate) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if SIGNALS.contains(&name) {
        return true;
    }
    let real_time = [("RTMIN+", 15), ("RTMAX-", 14)];
    real_time.into_iter().any(|(prefix, highest)| {
        let offset = name.strip_prefix(prefix);
        offset.is_some_and(|text| {
            !text.starts_with('0') && unsigned(text, 10).is_some_and(|n| n <= highest)
        })
    })
}
