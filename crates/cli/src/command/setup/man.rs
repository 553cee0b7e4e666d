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
    clap_mangen::Man::new(of).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    fn completions(shell: Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "larder", &mut script);
        String::from_utf8(script).expect("a text")
    }

    /// What is not said of a command somewhere.
    fn missing(mut verb: Command, overview: &str, scripts: &[String]) -> Vec<String> {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        let own = page(verb.clone()).expect("a page");
        let long: Vec<String> = verb
            .get_arguments()
            .filter_map(|argument| Some(argument.get_long()?.to_owned()))
            .collect();
        let mut missing = Vec::new();
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
        for script in scripts {
            for word in long.iter().chain([&name]) {
                look("a completion", script, word);
            }
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
        let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish].map(completions);
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
        for hidden in ["__serve", "__collect"] {
            assert!(!overview.contains(hidden) && !help.contains(hidden));
        }
    }
}
