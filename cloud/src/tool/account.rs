//! `ota account` and `ota token`: who may use the service.

use std::io::{IsTerminal, stdin};

use clap::Subcommand;

use super::client::{Client, Server, escape};
use super::{Output, ToolError, print_line};
use crate::api::access::{NewAccount, NewToken, TokenView};
use crate::model::Holder;
use crate::role::Role;

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// List the accounts
    List,
    /// Add an account, or give one another role and password; the password is read from the terminal, or a line of stdin
    Set {
        /// Name of the person
        name: String,
        /// viewer: reads; operator: also changes images, jobs, groups and pins; admin: also accounts and tokens
        #[arg(long)]
        role: Role,
    },
    /// Remove an account; its sessions end
    Remove {
        /// Name of the person
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the tokens
    List,
    /// Add a token and print it; it cannot be printed again
    Add {
        /// Name of the token
        name: String,
        /// viewer: reads; operator: also changes images, jobs, groups and pins; admin: also accounts and tokens
        #[arg(long)]
        role: Role,
    },
    /// Remove a token
    Remove {
        /// Name of the token
        name: String,
    },
}

impl AccountCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        let path = |name: &str| format!("/api/accounts/{}", escape(name));
        match self {
            Self::List => list(&client, "/api/accounts", output),
            Self::Set { name, role } => client.set(&path(&name), &NewAccount { role, password: password()? }),
            Self::Remove { name } => client.delete(&path(&name), None::<&()>),
        }
    }
}

impl TokenCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        let path = |name: &str| format!("/api/tokens/{}", escape(name));
        match self {
            Self::List => list(&client, "/api/tokens", output),
            Self::Add { name, role } => {
                let added: TokenView = client.put(&path(&name), &NewToken { role })?;
                output.print(&added, |added| print_line(&added.token));
                Ok(())
            }
            Self::Remove { name } => client.delete(&path(&name), None::<&()>),
        }
    }
}

fn list(client: &Client, path: &str, output: Output) -> Result<(), ToolError> {
    let holders: Vec<Holder> = client.get(path)?;
    output.print(&holders, |holders| {
        holders.iter().for_each(|holder| print_line(format_args!("{}  {}", holder.name, holder.role)));
    });
    Ok(())
}

/// Asks for a new password twice at a terminal; otherwise it is a line of stdin.
fn password() -> Result<String, ToolError> {
    let unreadable = |error: std::io::Error| ToolError::new(format!("password: {error}"));
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("Password: ").map_err(unreadable)?;
    match rpassword::prompt_password("Again: ").map_err(unreadable)? == password {
        true => Ok(password),
        false => Err(ToolError::new("the two passwords differ")),
    }
}
