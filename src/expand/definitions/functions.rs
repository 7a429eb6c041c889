//! `#define NAME(parameters) body`: a macro of C becomes one like the language's own, with the caller's variables.
//!
//! Its arguments are values, not text: `#define TWICE(x) x * 2` doubles all of `1 + 2`.

use std::collections::HashSet;

use crate::diagnostics::Span;
use crate::syntax;
use crate::syntax::ast::{Block, Expr, ExprKind, Macro, MacroParam, MacroParamKind};

/// So many of the parameters, the first ones, may be types.
const MAX_TYPES: usize = 5;

/// `text` is what follows the name, from the parenthesis on. `values` are names that are no types.
///
/// # Errors
///
/// Why scripts cannot use it.
pub fn read(name: &str, name_span: Span, text: &str, values: &HashSet<&str>) -> Result<Macro, &'static str> {
    let close = text.find(')').ok_or("its parameters have no end")?;
    let base = name_span.end as usize;
    let params = parameters(text.get(1..close).unwrap_or_default(), base + 1, name_span)?;
    let rest = params.iter().any(|p| p.kind == MacroParamKind::Rest);
    let mut body = format!("{}{}", " ".repeat(close + 1), text.get(close + 1..).unwrap_or_default());
    if rest {
        // GNU C: the comma before it goes if there are no arguments, which it does here anyway.
        body = body.replace("##__VA_ARGS__", "  __VA_ARGS__").replace("## __VA_ARGS__", "   __VA_ARGS__");
    }
    if outside_of_strings(&body, '#') {
        return Err("it makes tokens with `#`");
    }
    let expr = if body.trim().is_empty() {
        // Nothing, as a statement.
        Expr {
            kind: ExprKind::Block(Block { statements: vec![], value: None, span: name_span }),
            span: name_span,
        }
    } else {
        expression(&body, base, name_span, values, &params)
            .ok_or("it is neither an expression nor statements")?
    };
    let span = expr.span;
    let body = match expr.kind {
        ExprKind::Block(block) => block,
        kind => Block { statements: vec![], value: Some(Box::new(Expr { kind, span })), span },
    };
    Ok(Macro { name: name.to_owned(), name_span, params, body, of_c: true })
}

fn parameters(text: &str, base: usize, name: Span) -> Result<Vec<MacroParam>, &'static str> {
    let mut params: Vec<MacroParam> = vec![];
    if text.trim().is_empty() {
        return Ok(params);
    }
    let mut at = base;
    for part in text.split(',') {
        let word = part.trim();
        let start = at + part.len() - part.trim_start().len();
        let span = Span::new(name.file, start, start + word.len());
        at += part.len() + 1;
        if params.last().is_some_and(|p| p.kind == MacroParamKind::Rest) {
            return Err("`...` is not its last parameter");
        }
        let (kind, word) = match word {
            "..." => (MacroParamKind::Rest, "__VA_ARGS__"),
            _ => (MacroParamKind::Expr, word),
        };
        let clean = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !word.starts_with(|c: char| c.is_ascii_digit());
        if word.is_empty() || !clean || params.iter().any(|p| p.name == word) {
            return Err("its parameters are not names, each another one");
        }
        params.push(MacroParam { kind, name: word.to_owned(), span });
    }
    Ok(params)
}

/// The body as an expression. Statements are a block, which is one too.
fn expression(
    body: &str,
    base: usize,
    name: Span,
    values: &HashSet<&str>,
    params: &[MacroParam],
) -> Option<Expr> {
    // In `(x) - 1` a parameter is a value, in `(type *)x` it is a type. As few are types as it takes.
    let mut choices: Vec<u32> = (0..1 << params.len().min(MAX_TYPES)).collect();
    choices.sort_by_key(|types| types.count_ones());
    let parse = |text: &str, base: usize| {
        choices.iter().find_map(|types| {
            let is_value = |(n, param): (usize, &'_ MacroParam)| {
                (n >= MAX_TYPES || types & (1 << n) == 0).then(|| param.name.clone())
            };
            let more: Vec<String> = params.iter().enumerate().filter_map(is_value).collect();
            let all: HashSet<&str> = values.iter().copied().chain(more.iter().map(String::as_str)).collect();
            syntax::parse_expression(text, base, name.file, &all).ok().map(|parsed| parsed.node)
        })
    };
    let plain = body.trim_end().trim_end_matches([';', ' ']);
    // Blanks keep the places in the source.
    let blank = |text: &str, from: usize, to: usize| {
        format!("{}{}{}", &text[..from], " ".repeat(to - from), &text[to..])
    };
    let start = plain.len() - plain.trim_start().len();
    let word = &plain[start..];
    if word.starts_with("({") && word.ends_with("})") {
        // Its value is that of the last statement.
        let inner = word[..word.len() - 2].trim_end();
        let semicolon = inner.ends_with(';').then(|| start + inner.len() - 1);
        let mut text = blank(plain, start, start + 1);
        text.truncate(text.len() - 1);
        if let Some(at) = semicolon {
            text = blank(&text, at, at + 1);
        }
        return parse(&text, base);
    }
    if let Some(expr) = parse(plain, base) {
        return Some(expr);
    }
    let once = word.strip_prefix("do").and_then(|w| w.rfind('}')).filter(|end| {
        let tail: String = word[2 + end + 1..].split_whitespace().collect();
        tail == "while(0)"
    });
    if let Some(end) = once {
        let text = blank(plain, start, start + 2);
        return parse(&text[..start + 2 + end + 1], base);
    }
    // The name stands before it, so there is a place for the brace.
    parse(&format!("{{{body}}}"), base.checked_sub(1)?)
}

fn outside_of_strings(text: &str, wanted: char) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    text.chars().any(|c| {
        let found = !quoted && c == wanted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        found
    })
}
