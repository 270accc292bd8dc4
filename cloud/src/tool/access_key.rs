//! `ota access-key`: keys for the tools of AWS.

use clap::Subcommand;

use super::client::{Server, escape};
use super::{Output, ToolError, print_line};
use crate::access_key::{AccessKeyList, CreatedAccessKey, NewAccessKey};
use crate::role::Role;

#[derive(Debug, Subcommand)]
pub enum AccessKeyCommand {
    /// Create a key and print it, as the environment variables that the tools of AWS read
    Create {
        /// What it is for
        #[arg(long, default_value = "")]
        label: String,
        /// viewer: reads; operator: also changes what the tools of AWS can
        #[arg(long, default_value = "operator")]
        role: Role,
    },
    /// List the keys, without their secrets
    List,
    /// Delete a key: requests that are signed with it are refused from then on
    Delete {
        /// Id of the key
        id: String,
    },
}

impl AccessKeyCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        match self {
            Self::Create { label, role } => {
                let key: CreatedAccessKey = client.create("/api/access-keys", &NewAccessKey { label, role })?;
                output.print(&key, |CreatedAccessKey { id, secret }| {
                    print_line(format_args!("AWS_ACCESS_KEY_ID={id}"));
                    print_line(format_args!("AWS_SECRET_ACCESS_KEY={secret}"));
                });
                Ok(())
            }
            Self::List => {
                let list: AccessKeyList = client.get("/api/access-keys")?;
                output.print(&list, |list| {
                    list.access_keys
                        .iter()
                        .for_each(|key| print_line(format_args!("{}  {}  {}", key.id, key.role, key.label)));
                });
                Ok(())
            }
            Self::Delete { id } => client.delete(&format!("/api/access-keys/{}", escape(&id)), None::<&NewAccessKey>),
        }
    }
}
