//! Evaluating templates: texts with `${…}` and `%{…}` in them.
//!
//! Follows hcl `hclsyntax/expression_template.go` and `spec.md` ("Templates").

use hcl_edit::template::{Directive, Element, ForDirective, IfDirective, Strip, Template};

use super::eval::{Evaluator, Scope, Stop};
use super::value::{Text, Value};

impl Evaluator<'_> {
    /// The value of a quoted template. One that is nothing but `${…}` has that value, whatever its
    /// kind (`TemplateWrapExpr`).
    pub fn template_value(
        &mut self,
        template: &Template,
        scope: &Scope<'_>,
    ) -> Result<Value, Stop> {
        match template.as_single_element() {
            Some(Element::Interpolation(only)) => Ok(self.evaluate(&only.expr, scope)?),
            _ => self.template_text(template, scope),
        }
    }

    /// The text of a template.
    pub fn template_text(&mut self, template: &Template, scope: &Scope<'_>) -> Result<Value, Stop> {
        let mut out = Text::default();
        self.write(template, (false, false), scope, &mut out)?;
        Ok(Value::Text(out.done()))
    }

    /// Writes a template; `strip` says whether the space at its start and end goes.
    fn write(
        &mut self,
        template: &Template,
        strip: (bool, bool),
        scope: &Scope<'_>,
        out: &mut Text,
    ) -> Result<(), Stop> {
        let mut before = strip.0;
        let mut elements = template.iter().peekable();
        while let Some(element) = elements.next() {
            let after = elements.peek().map_or(strip.1, |next| edges(next).0);
            match element {
                Element::Literal(text) => out.push(stripped(text, before, after))?,
                Element::Interpolation(inner) => {
                    let value = self.evaluate(&inner.expr, scope)?;
                    let text = value
                        .text()
                        .map_err(|why| format!("in a template: {why}"))?;
                    out.push(&text)?;
                }
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(choice) => self.write_if(choice, scope, out)?,
                    Directive::For(loops) => self.write_for(loops, scope, out)?,
                },
            }
            before = edges(element).1;
        }
        Ok(())
    }

    fn write_if(
        &mut self,
        choice: &IfDirective,
        scope: &Scope<'_>,
        out: &mut Text,
    ) -> Result<(), Stop> {
        let end = choice.endif_expr.strip.strip_start();
        let condition = self.evaluate(&choice.if_expr.cond_expr, scope)?.truth()?;
        match &choice.else_expr {
            None if condition => {
                let strip = (choice.if_expr.strip.strip_end(), end);
                self.write(&choice.if_expr.template, strip, scope, out)
            }
            Some(other) if condition => {
                let strip = (choice.if_expr.strip.strip_end(), other.strip.strip_start());
                self.write(&choice.if_expr.template, strip, scope, out)
            }
            Some(other) => self.write(&other.template, (other.strip.strip_end(), end), scope, out),
            None => Ok(()),
        }
    }

    fn write_for(
        &mut self,
        loops: &ForDirective,
        scope: &Scope<'_>,
        out: &mut Text,
    ) -> Result<(), Stop> {
        let intro = &loops.for_expr;
        let names = (
            intro.key_var.as_ref().map(|name| name.as_str()),
            intro.value_var.as_str(),
        );
        let strip = (
            intro.strip.strip_end(),
            loops.endfor_expr.strip.strip_start(),
        );
        for pair in Self::pairs(self.evaluate(&intro.collection_expr, scope)?)? {
            let inner = Self::turn(scope, names, pair);
            self.write(&intro.template, strip, &inner, out)?;
        }
        Ok(())
    }
}

/// Whether an element strips the space before and after it.
fn edges(element: &Element) -> (bool, bool) {
    let of = |start: Strip, end: Strip| (start.strip_start(), end.strip_end());
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(inner) => of(inner.strip, inner.strip),
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(choice) => of(choice.if_expr.strip, choice.endif_expr.strip),
            Directive::For(loops) => of(loops.for_expr.strip, loops.endfor_expr.strip),
        },
    }
}

/// Without the space at an edge, up to and with the first end of a line.
fn stripped(text: &str, start: bool, end: bool) -> &str {
    let is_space = |c: char| c.is_whitespace() && c != '\n' && c != '\r';
    let mut text = text;
    if start {
        text = text.trim_start_matches(is_space);
        text = text.strip_prefix('\r').unwrap_or(text);
        text = text.strip_prefix('\n').unwrap_or(text);
    }
    if end {
        text = text.trim_end_matches(is_space);
        text = text.strip_suffix('\n').unwrap_or(text);
        text = text.strip_suffix('\r').unwrap_or(text);
    }
    text
}
