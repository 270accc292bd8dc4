//! `ota group`: groups of things.

use clap::Subcommand;

use super::client::{Server, escape};
use super::{Output, ToolError, print_line};
use crate::api::{GroupList, GroupView, Members};

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups
    List,
    /// List the things of a group
    Show {
        /// Name of the group
        name: String,
    },
    /// Create a group, unless it exists
    Create {
        /// Name of the group
        name: String,
    },
    /// Delete a group; its things and their jobs stay
    Delete {
        /// Name of the group
        name: String,
    },
    /// Add things to a group; they get its continuous jobs
    Add {
        /// Name of the group
        name: String,
        /// The things
        #[arg(required = true)]
        things: Vec<String>,
    },
    /// Remove things from a group; their jobs stay
    Remove {
        /// Name of the group
        name: String,
        /// The things
        #[arg(required = true)]
        things: Vec<String>,
    },
}

impl GroupCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        let path = |name: &str| format!("/api/groups/{}", escape(name));
        match self {
            Self::List => {
                let list: GroupList = client.get("/api/groups")?;
                output.print(&list, |list| {
                    list.groups.iter().for_each(|group| print_line(format_args!("{}  {}", group.name, group.things)));
                });
                Ok(())
            }
            Self::Show { name } => {
                let group: GroupView = client.get(&path(&name))?;
                output.print(&group, |group| group.things.iter().for_each(print_line));
                Ok(())
            }
            Self::Create { name } => client.put::<GroupView>(&path(&name), &()).map(drop),
            Self::Delete { name } => client.delete(&path(&name), None::<&Members>),
            Self::Add { name, things } => client.send(&format!("{}/things", path(&name)), &Members { things }),
            Self::Remove { name, things } => {
                client.delete(&format!("{}/things", path(&name)), Some(&Members { things }))
            }
        }
    }
}
