//! How texts are escaped in templates: as HTML, with what is not seen as numbers. Named in `askama.toml`.

use std::fmt::{Result, Write};

use askama::filters::{Escaper, Html};

use crate::visible::{WHITE_SPACE, visible};

/// HTML in which no text changes how the text around it reads.
#[derive(Clone, Copy, Debug)]
pub struct VisibleHtml;

impl Escaper for VisibleHtml {
    fn write_escaped_str<W: Write>(&self, dest: W, text: &str) -> Result {
        Html.write_escaped_str(dest, &visible(text, &WHITE_SPACE))
    }
}
