//! `larder man [VERB]`: the manual page, as roff.

use std::io;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use larder_settings::args::{Arguments, Man};
use larder_settings::exit::{Done, Failure};

use crate::report::Report;

pub(crate) fn run(verb: &Man, report: &Report) -> Done {
    let mut command = Arguments::command();
    command.build();
    let of = match &verb.verb {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::input(format!("{name:?} is not a command; see larder --help"))
        })?,
    };
    let page = page(of);
    let page =
        page.map_err(|error| Failure::failed(format!("the page cannot be made: {error}")))?;
    report.answer(page.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn page(of: Command) -> io::Result<String> {
    let mut text = Vec::new();
    let source = concat!("larder ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(of).source(source).render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // What stands below a command's options has a section of no name that readers know (man-pages(7)).
    let text = text.replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n");
    Ok(text.replace(".SH EXTRA\n", ".SH NOTES\n"))
}

#[cfg(test)]
mod tests {
    use clap::Arg;
    use clap_complete::Shell;

    use super::*;

    fn completions(shell: Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "larder", &mut script);
        String::from_utf8(script).expect("a text")
    }

    /// What a completion script has of one command.
    fn part(script: &str, shell: Shell, name: &str) -> String {
        if shell == Shell::Fish {
            let begin = format!("__fish_larder_using_subcommand {name}\"");
            let lines = script.lines().filter(|line| line.contains(&begin));
            return lines.map(|line| line.replace(" -l ", " --")).collect();
        }
        let begin = match shell {
            Shell::Bash => format!("\n        larder__subcmd__{})\n", name.replace('-', "__")),
            _ => format!("({name})\n_arguments"),
        };
        let (_, part) = script
            .split_once(&begin)
            .unwrap_or_else(|| panic!("{shell} has no part {begin}"));
        part.split(";;").next().unwrap_or_default().to_owned()
    }

    /// What somebody is told who types this.
    fn told(words: &[&str]) -> String {
        let error = Arguments::command().try_get_matches_from(words);
        error.expect_err("it is told").to_string()
    }

    /// What is not said of a command somewhere.
    fn missing(mut verb: Command, overview: &str, scripts: &[(Shell, String)]) -> Vec<String> {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        let own = page(verb.clone()).expect("a page");
        let arguments = verb.get_arguments().filter(|it| !it.is_hide_set());
        let arguments: Vec<&Arg> = arguments.collect();
        let long: Vec<&str> = arguments.iter().filter_map(|it| it.get_long()).collect();
        let silent = arguments.iter().filter(|it| it.get_help().is_none());
        let mut missing: Vec<String> = silent
            .map(|it| format!("{name}: {} says nothing", it.get_id()))
            .collect();
        if told(&["larder", "help", &name]) != told(&["larder", &name, "--help"]) {
            missing.push(format!("{name}: help and --help differ"));
        }
        let mut look = |place: &str, text: &str, word: &str| {
            if !text.contains(word) {
                missing.push(format!("{name}: {word} is not in {place}"));
            }
        };
        look("the overview", overview, &format!("larder\\-{name}(1)"));
        for option in &long {
            look("--help", &help, &format!("--{option}"));
            look(
                "its page",
                &own,
                &format!("\\-\\-{}", option.replace('-', "\\-")),
            );
        }
        for (shell, script) in scripts {
            let part = part(script, *shell, &name);
            for option in &long {
                look(
                    &format!("{shell}'s completion"),
                    &part,
                    &format!("--{option}"),
                );
            }
        }
        if let Some(after) = verb.get_after_help().map(ToString::to_string) {
            let section = if after.starts_with("Examples:") {
                ".SH EXAMPLES"
            } else {
                ".SH NOTES"
            };
            look("its page", &own, section);
        }
        missing
    }

    #[test]
    fn help_pages_and_completions_agree() {
        let mut command = Arguments::command();
        command.build();
        let (overview, help) = (
            page(command.clone()).expect("a page"),
            command.render_help().to_string(),
        );
        let shells = [Shell::Bash, Shell::Zsh, Shell::Fish];
        let scripts = shells.map(|shell| (shell, completions(shell)));
        let verbs = command.get_subcommands();
        let verbs = verbs.filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
        let mut wrong = Vec::new();
        let mut count = 0;
        for verb in verbs {
            count += 1;
            assert!(
                verb.get_about().is_some(),
                "{} says nothing",
                verb.get_name()
            );
            assert!(help.contains(&format!("  {}", verb.get_name())));
            wrong.extend(missing(verb.clone(), &overview, &scripts));
        }
        assert!(count > 20 && wrong.is_empty(), "{wrong:#?}");
        assert_eq!(told(&["larder", "help"]), told(&["larder", "--help"]));
        assert_eq!(told(&["larder"]), told(&["larder", "-h"]));
        for hidden in ["__serve", "__collect"] {
            assert!(!overview.contains(hidden) && !help.contains(hidden));
        }
    }
}
