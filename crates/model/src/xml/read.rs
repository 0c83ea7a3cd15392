//! Which tree does this text spell?
//!
//! quick-xml tokenizes; this file keeps the stack of open elements, the bounds and the place of what is
//! wrong.

use std::collections::HashSet;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::{ATTRIBUTES_MAX, CODE, DEPTH_MAX, ELEMENTS_MAX, TEXT_BYTES_MAX, is_name, is_xml_char};
use crate::diagnostic::{Diagnostic, Origin};
use crate::tree::{Attribute, Child, Element, Span, shared};

/// Everything in the text, as the children of a nameless element.
pub(super) fn document(text: &str) -> Result<Element, Diagnostic> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(refusal(0, 0, format!("the text has {} bytes, at most {TEXT_BYTES_MAX} are read", text.len())));
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(text.len() - body.len());
    let mut reader = Reader::from_str(body);
    reader.config_mut().check_comments = true;
    loop {
        builder.start = offset(reader.buffer_position());
        let event = reader.read_event();
        builder.end = offset(reader.buffer_position());
        match event {
            Ok(Event::Eof) => return builder.finish(),
            Ok(event) => builder.take(event)?,
            Err(error) => {
                builder.start = offset(reader.error_position()).min(body.len());
                return Err(builder.refuse(error.to_string()));
            }
        }
    }
}

/// A refusal of a range of the text.
pub(super) fn refusal(start: usize, end: usize, message: impl Into<String>) -> Diagnostic {
    let origin = Origin { span: Some(Span { start, end }), ..Origin::default() };
    Diagnostic::error(CODE, origin, message)
}

/// Byte positions of a text below [`TEXT_BYTES_MAX`] fit every pointer width we build for.
fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

struct Builder {
    /// Bytes before the tokenizer's first one (a byte order mark).
    base: usize,
    /// Range of the current event.
    start: usize,
    end: usize,
    /// Open elements, the document itself first.
    open: Vec<Element>,
    /// Character data since the last tag or comment.
    text: String,
    elements: usize,
    /// Names seen so far: a configuration repeats a few hundred names a million times.
    names: HashSet<Arc<str>>,
}

impl Builder {
    fn new(base: usize) -> Self {
        let document = Element::default();
        Self { base, start: 0, end: 0, open: vec![document], text: String::new(), elements: 0, names: HashSet::new() }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Diagnostic> {
        match event {
            Event::Start(tag) => self.open_element(&tag),
            Event::Empty(tag) => {
                self.open_element(&tag)?;
                self.close_element();
                Ok(())
            }
            Event::End(_) => {
                self.flush_text();
                self.close_element();
                Ok(())
            }
            Event::Text(text) => self.push_text(&text.xml10_content()),
            Event::CData(text) => self.push_text(&text.xml10_content()),
            Event::GeneralRef(reference) => self.push_reference(&reference),
            Event::Comment(text) => {
                let text = text.xml10_content();
                self.check_characters(&text)?;
                self.flush_text();
                self.append(Child::Comment(text.as_ref().into()));
                Ok(())
            }
            Event::Decl(_) if self.elements == 0 && self.open.len() == 1 => Ok(()),
            Event::Decl(_) | Event::PI(_) => Err(self.refuse("processing instructions are not read")),
            Event::DocType(_) => Err(self
                .refuse("a document type definition is not read")
                .with_help("remove the `<!DOCTYPE ..>`; configuration needs none")),
            Event::Eof => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Element, Diagnostic> {
        self.flush_text();
        if self.open.len() > 1 {
            let name = self.open.last().map_or_else(String::new, |element| element.name.to_string());
            return Err(self.refuse(format!("`<{name}>` is not closed")));
        }
        Ok(self.open.pop().unwrap_or_default())
    }

    fn open_element(&mut self, tag: &BytesStart<'_>) -> Result<(), Diagnostic> {
        self.flush_text();
        if self.open.len() > DEPTH_MAX {
            return Err(self.refuse(format!("elements are nested deeper than {DEPTH_MAX}")));
        }
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(self.refuse(format!("there are more than {ELEMENTS_MAX} elements")));
        }
        let name = self.name(tag.name().0)?;
        let span = Some(Span { start: self.base + self.start, end: self.base + self.end });
        let attributes = self.attributes(tag)?;
        self.open.push(Element { name, attributes, children: Vec::new(), span });
        Ok(())
    }

    fn attributes(&mut self, tag: &BytesStart<'_>) -> Result<Vec<Attribute>, Diagnostic> {
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| self.refuse(error.to_string()))?;
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(self.refuse(format!("an element has more than {ATTRIBUTES_MAX} attributes")));
            }
            let name = self.name(attribute.key.0)?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.refuse(error.to_string()))?;
            self.check_characters(&value)?;
            attributes.push((name, value.as_ref().into()));
        }
        Ok(attributes)
    }

    fn close_element(&mut self) {
        // The tokenizer matches end tags with start tags, so the document itself is never closed.
        if self.open.len() > 1
            && let Some(mut element) = self.open.pop()
        {
            if let Some(span) = &mut element.span {
                span.end = self.base + self.end;
            }
            self.append(Child::Element(Arc::new(element)));
        }
    }

    fn append(&mut self, child: Child) {
        if let Some(parent) = self.open.last_mut() {
            parent.children.push(child);
        }
    }

    fn push_text(&mut self, text: &str) -> Result<(), Diagnostic> {
        self.check_characters(text)?;
        self.text.push_str(text);
        Ok(())
    }

    fn push_reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Diagnostic> {
        let char = match reference.resolve_char_ref() {
            Ok(Some(char)) => char,
            Ok(None) => match &**reference {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                other => {
                    return Err(self
                        .refuse(format!("unknown entity `&{other};`"))
                        .with_help("only `&lt;`, `&gt;`, `&amp;`, `&quot;` and `&apos;` are known"));
                }
            },
            Err(error) => return Err(self.refuse(error.to_string())),
        };
        self.push_text(char.encode_utf8(&mut [0; 4]))
    }

    fn flush_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            self.append(Child::Text(text.into()));
        }
    }

    fn name(&mut self, name: &str) -> Result<Arc<str>, Diagnostic> {
        if let Some(known) = self.names.get(name) {
            return Ok(known.clone());
        }
        if !is_name(name) {
            return Err(self.refuse(format!("`{name}` cannot be the name of an element or attribute")));
        }
        let name = shared(name);
        self.names.insert(name.clone());
        Ok(name)
    }

    fn check_characters(&self, text: &str) -> Result<(), Diagnostic> {
        match text.chars().find(|char| !is_xml_char(*char)) {
            None => Ok(()),
            Some(char) => Err(self.refuse(format!("the control character {:#04x} is not allowed", u32::from(char)))),
        }
    }

    /// A refusal of the current event, with the path of the open elements.
    fn refuse(&self, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = refusal(self.base + self.start, self.base + self.end.max(self.start), message);
        for element in self.open.iter().skip(1) {
            diagnostic.origin.xpath.push('/');
            diagnostic.origin.xpath.push_str(&element.step());
        }
        diagnostic
    }
}
