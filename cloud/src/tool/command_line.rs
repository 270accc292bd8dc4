//! What all commands of `ota` have in common on the command line: the usage in errors, and names.

use std::any::TypeId;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::Arguments;

impl Arguments {
    /// Reads the arguments of the process. Prints help, the version, or what is wrong, and ends the process then.
    pub fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn command() -> Command {
    let mut command = Arguments::command();
    // Gives the commands below it their whole names.
    command.build();
    complete(command)
}

/// Refuses empty names, and shows the same usage in errors as in the help of a command and of those below it. That of an error
/// would have the options in use, to which one belongs whose environment variable is set: it would look as if it were required.
fn complete(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| command.mut_subcommand(name, complete));
    let mut command = command.mut_args(refuse_empty);
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage: ").to_owned())
}

/// A name is part of the path of a request. Those that have a default may be empty.
fn refuse_empty(argument: Arg) -> Arg {
    let is_name = argument.is_positional() && argument.get_value_parser().type_id() == TypeId::of::<String>();
    match is_name && argument.get_default_values().is_empty() {
        true => argument.value_parser(NonEmptyStringValueParser::new()),
        false => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    const EMPTY_THING: &str = "job cancel v2 --thing ";

    #[test]
    fn an_empty_name_is_refused_before_anything_is_asked_or_sent() {
        for words in
            ["account set  --role admin", "job show ", "group add g ", "device pin ", "image delete ", EMPTY_THING]
        {
            let words = format!("ota {words}");
            let refused = command().try_get_matches_from(words.split(' ')).unwrap_err();
            assert!(refused.to_string().contains("a value is required for '"), "{words}: {refused}");
        }
        assert!(command().try_get_matches_from(["ota", "device", "list", ""]).is_ok(), "all devices");
    }
}
