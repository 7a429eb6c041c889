//! What stands beside the probes: macros, maps that are declared, imports.

use super::Reader;
use super::blocks::Braces;
use crate::diagnostics::{Diagnostic, Span};
use crate::syntax::ast::{Import, Macro, MacroParam, MacroParamKind, MapDeclaration};
use crate::syntax::build::{self, Parsed};
use crate::syntax::classes::describe;
use crate::syntax::literal;
use crate::syntax::token::{Lexeme, Lexemes, Token};

const IMPORT: &str = "write `import \"helpers.bt\";`";
const DECLARATION: &str = "write `let @name = hash(1000);`";
const MACRO: &str = "write `macro name($variable, @map, expression) { … }`";

impl<'s> Reader<'s> {
    /// `import "path";`
    pub fn import(&mut self) {
        let start = self.at;
        let tokens = self.line_of_tokens();
        let rest = tokens.get(1..).unwrap_or_default();
        let (path, end) = match rest {
            [path @ Lexeme { token: Token::Str(_), .. }, end @ ..] => (*path, end.first()),
            _ => return self.unexpected(rest.first(), "the path of a file in quotes after `import`", IMPORT),
        };
        if !matches!(end, None | Some(Lexeme { token: Token::Semi, .. })) {
            return self.unexpected(end, "`;` after the import", IMPORT);
        }
        let span = self.span(path.start, path.end);
        let Token::Str(text) = path.token else { return };
        let (bytes, errors) = literal::string(text, span);
        self.diagnostics.extend(errors);
        if !self.script.probes.is_empty() || !self.script.macros.is_empty() || !self.script.maps.is_empty() {
            self.error(
                "misplaced",
                self.span(start, path.end),
                "imports come before probes, macros and maps",
            )
            .help
            .push("move it to the top of the script".into());
        }
        match String::from_utf8(bytes) {
            Ok(path) if !path.is_empty() && !path.contains('\0') => {
                self.script.imports.push(Import { path, span });
            }
            _ => {
                self.error("bad-import", span, "this is not the path of a file");
            }
        }
    }

    /// `let @name = kind(arguments);`
    pub fn map_declaration(&mut self) {
        let start = self.at;
        let tokens = self.line_of_tokens();
        let ended = tokens.last().is_some_and(|t| t.token == Token::Semi);
        let body = tokens.get(1..tokens.len() - usize::from(ended)).unwrap_or_default();
        let (name, kind, args) = match body {
            [
                name @ Lexeme { token: Token::Map(_), .. },
                Lexeme { token: Token::Assign, .. },
                kind @ Lexeme { token: Token::Ident(_), .. },
                Lexeme { token: Token::LParen, .. },
                args @ ..,
                Lexeme { token: Token::RParen, .. },
            ] => (*name, *kind, args),
            [variable @ Lexeme { token: Token::Variable(_), .. }, ..] => {
                let span = self.span(variable.start, variable.end);
                self.error("misplaced", span, "a variable cannot be declared outside of a probe")
                    .help
                    .push("a map is for all probes: `@x`; it needs no declaration".into());
                return;
            }
            [
                Lexeme { token: Token::Map(_), .. },
                Lexeme { token: Token::Assign, .. },
                Lexeme { token: Token::Ident(_), .. },
                rest @ ..,
            ] => {
                let wanted =
                    if rest.is_empty() { "`(` after the kind of map" } else { "`)` and `;` at the end" };
                let found = if rest.is_empty() { None } else { rest.last() };
                return self.unexpected(found, wanted, DECLARATION);
            }
            [Lexeme { token: Token::Map(_), .. }, Lexeme { token: Token::Assign, .. }, rest @ ..] => {
                return self.unexpected(rest.first(), "a kind of map", DECLARATION);
            }
            [Lexeme { token: Token::Map(_), .. }, rest @ ..] => {
                return self.unexpected(rest.first(), "`=` and a kind of map", DECLARATION);
            }
            rest => return self.unexpected(rest.first(), "a map after `let`", DECLARATION),
        };
        let args = args.to_vec();
        let mut list = vec![];
        for arg in arguments(&args) {
            if let Some(Parsed::Expr(arg)) = self.grammar(Token::StartExpr, arg.to_vec(), false) {
                list.push(arg.node);
            }
        }
        let (Token::Map(map), Token::Ident(word)) = (name.token, kind.token) else { return };
        self.script.maps.push(MapDeclaration {
            name: map.trim_start_matches('@').to_owned(),
            name_span: self.span(name.start, name.end),
            kind: word.to_owned(),
            kind_span: self.span(kind.start, kind.end),
            args: list,
            span: self.span(start, self.at),
        });
    }

    /// `macro name(parameters) { … }`, `macro name { … }`
    pub fn macro_definition(&mut self) {
        self.at += "macro".len();
        self.layout();
        let (name, start) = (self.word(), self.at);
        self.at += name.len();
        let name_span = self.span(start, self.at);
        self.layout();
        let params = if self.rest().starts_with('(') { self.macro_params() } else { vec![] };
        self.layout();
        if !self.rest().starts_with('{') {
            let here = Lexemes::new(self.text, self.at, self.file, &mut vec![]).next();
            self.unexpected(here.as_ref(), "`{` and what the macro stands for", MACRO);
            if !self.skip_to_block() {
                return;
            }
        }
        let Braces { tokens, torn } = self.braces();
        if let Some(Parsed::Body(mut body)) = self.grammar(Token::StartBody, tokens, torn) {
            build::values(&mut body);
            self.script.macros.push(Macro { name: name.to_owned(), name_span, params, body, of_c: false });
        }
    }

    fn macro_params(&mut self) -> Vec<MacroParam> {
        let mut found = vec![];
        let mut lexemes = Lexemes::new(self.text, self.at + 1, self.file, &mut found);
        let mut tokens: Vec<Lexeme<'s>> = vec![];
        let mut end = self.text.len();
        for lexeme in lexemes.by_ref() {
            match lexeme.token {
                Token::RParen => {
                    end = lexeme.end;
                    break;
                }
                // The `)` has been forgotten.
                Token::LBrace => {
                    end = lexeme.start;
                    tokens.push(lexeme);
                    break;
                }
                _ => tokens.push(lexeme),
            }
        }
        self.diagnostics.append(&mut found);
        self.at = end;
        let mut params: Vec<MacroParam> = vec![];
        let mut tokens = tokens.into_iter().peekable();
        while let Some(lexeme) = tokens.next() {
            let span = self.span(lexeme.start, lexeme.end);
            let (kind, name) = match lexeme.token {
                Token::Variable(name) => (MacroParamKind::Variable, name),
                Token::Map(name) if name.len() > 1 => (MacroParamKind::Map, name),
                Token::Ident(name) => (MacroParamKind::Expr, name),
                _ => {
                    self.unexpected(Some(&lexeme), "a parameter: `$variable`, `@map` or a name", MACRO);
                    break;
                }
            };
            let name = name.trim_start_matches(['$', '@']).to_owned();
            if let Some(first) = params.iter().find(|p| p.name == name && p.kind == kind) {
                let label = (first.span, "the first is here".to_owned());
                let shown = self.text[lexeme.start..lexeme.end].to_owned();
                self.error("duplicate-parameter", span, format!("there are two parameters `{shown}`"))
                    .labels
                    .push(label);
            }
            params.push(MacroParam { kind, name, span });
            match tokens.peek().map(|t| t.token) {
                Some(Token::Comma) => {
                    tokens.next();
                }
                Some(_) => {
                    self.unexpected(tokens.next().as_ref(), "`,` or `)` after a parameter", MACRO);
                    break;
                }
                None => {}
            }
        }
        params
    }

    /// The tokens up to the `;`, which is among them; without one, up to the end of the line.
    fn line_of_tokens(&mut self) -> Vec<Lexeme<'s>> {
        let start = self.at;
        let mut found: Vec<Diagnostic> = vec![];
        let mut tokens: Vec<Lexeme<'s>> = vec![];
        let mut lexemes = Lexemes::new(self.text, start, self.file, &mut found);
        for lexeme in lexemes.by_ref() {
            let broken = tokens.last().is_some_and(|last| self.text[last.end..lexeme.start].contains('\n'));
            if matches!(lexeme.token, Token::LBrace | Token::RBrace) || (broken && starts_anew(lexeme.token))
            {
                break;
            }
            tokens.push(lexeme);
            if lexeme.token == Token::Semi {
                break;
            }
        }
        self.diagnostics.append(&mut found);
        self.at = tokens.last().map_or(start, |t| t.end);
        tokens
    }

    /// Reports what stands in place of what is wanted.
    fn unexpected(&mut self, found: Option<&Lexeme<'_>>, wanted: &str, help: &str) {
        let (span, found): (Span, String) = match found {
            Some(lexeme) => (self.span(lexeme.start, lexeme.end), describe(lexeme.token)),
            None => (self.span(self.at, self.at), "the end".into()),
        };
        self.error("syntax", span, format!("expected {wanted}, found {found}")).help.push(help.into());
    }
}

/// What begins a line is no longer part of a declaration that has lost its `;`.
fn starts_anew(token: Token<'_>) -> bool {
    matches!(token, Token::Ident(_) | Token::Let | Token::Import | Token::Struct | Token::Union | Token::Enum)
}

/// The tokens between the commas of a list of arguments.
fn arguments<'t, 's>(tokens: &'t [Lexeme<'s>]) -> Vec<&'t [Lexeme<'s>]> {
    let mut depth = 0i32;
    let list = tokens.split(|lexeme| {
        match lexeme.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ => {}
        }
        depth == 0 && lexeme.token == Token::Comma
    });
    list.filter(|arg| !arg.is_empty()).collect()
}
