//! From defaults, file, environment and flags to the options in force, and back to where each came from.
//!
//! `figment` lays the sources over each other. What it does not know is found here: names that mean nothing, and the
//! line of a file.

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::logging::{Logging, RUST_LOG};
use crate::options::{Config, HubOptions};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, FromArgMatches, Parser};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The name of an option's variable is this, and the option's own name in capitals with `_` for `-`.
const PREFIX: &str = "ALKPUBSUB_HUB_";
/// The variable that names the file.
const FILE: &str = "ALKPUBSUB_HUB_CONFIG";
/// What a hub logs: when it began and ended, and what it counted.
const LOG: &str = "info";
/// How much alike two names are that may be meant for each other; clap's own measure for flags.
const ALIKE: f64 = 0.7;

/// What is in force.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) options: HubOptions,
    pub(crate) logging: Logging,
    /// In the order of the definition.
    origins: Vec<(String, Origin)>,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The names of all options, as keys of the file, in the order of their definition.
fn keys() -> Vec<String> {
    described().get_arguments().filter_map(|option| option.get_long()).map(Into::into).collect()
}

/// All options as the command line has them.
fn described() -> clap::Command {
    let all = Logging::augment_args(HubOptions::augment_args(clap::Command::new("hub")));
    all.mut_arg("log", |log| log.default_value(LOG))
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// Reads everything. `matches` are those of `hub`.
pub(crate) fn load(
    config: &Config,
    matches: &ArgMatches,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Loaded, Failure> {
    let keys = keys();
    let environment = Environment::read(&keys, environment)?;
    let path = config.config.clone().or(environment.file);
    let (file, lines) = match &path {
        Some(path) => read_file(path, &keys)?,
        None => Default::default(),
    };
    let flags = flags(matches);
    let figment = Figment::new()
        .merge(Layer("default", defaults()))
        .merge(Layer("file", file))
        .merge(Layer("RUST_LOG", environment.rust_log))
        .merge(Layer("variable", environment.options))
        .merge(Layer("flag", flags));
    let origin = |key: &str| match figment.find_metadata(key).map(|source| &*source.name) {
        Some("file") => Origin::File {
            path: path.clone().unwrap_or_default(),
            line: lines.get(key).copied().unwrap_or_default(),
        },
        Some("RUST_LOG") => Origin::Variable(RUST_LOG.into()),
        Some("variable") => Origin::Variable(variable(key)),
        Some("flag") => Origin::Flag(format!("--{key}")),
        _ => Origin::Default,
    };
    let wrong = |error: figment::Error| {
        let key = error.path.first().cloned().unwrap_or_default();
        Failure::input(format!("{}: {}", naming(&origin(&key), &key), error.kind))
    };
    let options = figment.extract().map_err(wrong)?;
    let logging = figment.extract().map_err(wrong)?;
    let origins = keys.iter().map(|key| (key.clone(), origin(key))).collect();
    Ok(Loaded { options, logging, origins })
}

impl Loaded {
    /// How an error names an option: by what the user wrote.
    pub(crate) fn naming(&self, key: &str) -> String {
        let origin = self.origins.iter().find(|(known, _)| known == key);
        naming(origin.map_or(&Origin::Default, |(_, origin)| origin), key)
    }

    /// What is in force as a file, with a comment on each line that tells where it was given. Passwords are left out.
    pub(crate) fn to_toml(&self) -> String {
        let mut values = dict(&self.options);
        values.insert("redis".into(), self.options.redis.to_string().into());
        values.extend(dict(&self.logging));
        let lines: Vec<_> = self
            .origins
            .iter()
            .filter_map(|(key, origin)| Some((format!("{key} = {}", toml_of(values.get(key)?)), origin)))
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
        lines.iter().map(|(line, origin)| format!("{line:width$}  # {}\n", one_line(origin))).collect()
    }
}

/// A path may hold a line break, which would end the comment.
fn one_line(origin: &Origin) -> String {
    origin.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn naming(origin: &Origin, key: &str) -> String {
    match origin {
        Origin::File { .. } => format!("{origin}: {key}"),
        Origin::Variable(name) | Origin::Flag(name) => name.clone(),
        Origin::Default => format!("--{key}"),
    }
}

/// One source; its name is how the others are told from it.
struct Layer(&'static str, Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

fn dict(options: &impl Serialize) -> Dict {
    let value = Value::serialize(options).expect("options are texts, numbers and lists of them");
    value.into_dict().expect("they are a struct")
}

fn defaults() -> Dict {
    let args = Args::try_parse_from(["alkpubsub", "hub"]).expect("every option has a default");
    let mut values = dict(&args.logging);
    values.insert("log".into(), LOG.into());
    if let Command::Hub(hub) = &args.command {
        values.extend(dict(&hub.options));
    }
    values
}

/// What was said on the command line, and no default.
fn flags(matches: &ArgMatches) -> Dict {
    let mut values = Dict::new();
    if let Ok(options) = HubOptions::from_arg_matches(matches) {
        values.extend(dict(&options));
    }
    if let Ok(logging) = Logging::from_arg_matches(matches) {
        values.extend(dict(&logging));
    }
    let said = |key: &str| matches.value_source(&key.replace('-', "_")) == Some(ValueSource::CommandLine);
    values.into_iter().filter(|(key, _)| said(key)).collect()
}

/// What the environment says.
#[derive(Default)]
struct Environment {
    file: Option<PathBuf>,
    rust_log: Dict,
    options: Dict,
}

impl Environment {
    fn read(keys: &[String], variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Failure> {
        let mut read = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            if name == FILE {
                read.file = Some(value.into());
            } else if name == RUST_LOG {
                read.rust_log =
                    rust_log(&value)?.map(|filter| ("log".into(), filter.into())).into_iter().collect();
            } else if let Some(rest) = name.strip_prefix(PREFIX)
                && !is_of_kubernetes(rest, &value)
            {
                let Some(key) = keys.iter().find(|key| variable(key) == name) else {
                    let known = keys.iter().map(|key| variable(key)).chain([FILE.into()]);
                    let what = format!("the variable {name} is no option of the hub");
                    // What all have in common makes none of them alike.
                    let bare: Vec<_> = known.map(|known| known[PREFIX.len()..].to_owned()).collect();
                    return Err(unknown(&what, PREFIX, rest, &bare));
                };
                read.options.insert(key.clone(), utf8(name, &value)?.into());
            }
        }
        Ok(read)
    }
}

/// Whether Kubernetes made this variable, as it does in every container beside a service that is called `alkpubsub-hub`.
fn is_of_kubernetes(rest: &str, value: &OsStr) -> bool {
    match rest.strip_prefix("PORT") {
        // A port alone would be somebody's who takes it for an option.
        Some("") => value.to_str().is_some_and(|value| value.contains("://")),
        Some(port) => {
            port.strip_prefix('_').is_some_and(|port| port.starts_with(|first: char| first.is_ascii_digit()))
        }
        None => rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT"),
    }
}

/// What `RUST_LOG` says, if anything.
pub(crate) fn rust_log(value: &OsStr) -> Result<Option<&str>, Failure> {
    utf8(RUST_LOG, value).map(|text| (!text.is_empty()).then_some(text))
}

fn utf8<'v>(name: &str, value: &'v OsStr) -> Result<&'v str, Failure> {
    value.to_str().ok_or_else(|| Failure::input(format!("{name}: not UTF-8")))
}

/// `prefix` is what each name begins with.
fn unknown(what: &str, prefix: &str, name: &str, known: &[String]) -> Failure {
    let alike = |known: &&String| strsim::jaro(&name.to_ascii_lowercase(), &known.to_ascii_lowercase());
    let nearest = known
        .iter()
        // A letter or two are the beginning of too much.
        .filter(|known| name.len() > 1 && known.len() <= 3 * name.len())
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
        .filter(|known| alike(known) > ALIKE);
    let hint = match nearest {
        Some(nearest) => format!("; did you mean {prefix}{nearest}?"),
        None => "; `alkpubsub hub --print-config` shows all there are".into(),
    };
    Failure::input(format!("{what}{hint}"))
}

/// The values of a file, and the line of each.
fn read_file(path: &Path, keys: &[String]) -> Result<(Dict, BTreeMap<String, usize>), Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read the configuration {shown}: {error}")))?;
    let line =
        |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let bad = |error: toml::de::Error| {
        let at =
            error.span().map_or_else(|| shown.to_string(), |span| format!("{shown}:{}", line(span.start)));
        Failure::input(format!("{at}: {}", error.message()))
    };
    let spanned: BTreeMap<Spanned<String>, toml::Value> = toml::from_str(&text).map_err(bad)?;
    let mut lines = BTreeMap::new();
    for (key, value) in &spanned {
        let (name, line) = (key.get_ref(), line(key.span().start));
        if !keys.contains(name) && value.is_table() {
            let wrong = format!("{shown}:{line}: {name:?} is a table, and there are no tables");
            return Err(Failure::input(format!(
                "{wrong}: each option is a key at the top, as in max-links = 10"
            )));
        }
        if !keys.contains(name) {
            return Err(unknown(
                &format!("{shown}:{line}: {name:?} is no option of the hub"),
                "",
                name,
                keys,
            ));
        }
        lines.insert(name.clone(), line);
    }
    let values = Toml::from_str(&text).map_err(bad)?;
    Ok((values, lines))
}

/// A value as TOML writes it.
fn toml_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => toml::Value::from(text.as_str()).to_string(),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => number.to_u128().unwrap_or_default().to_string(),
        Value::Array(_, values) => format!("[{}]", values.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        other => unreachable!("no option is one of these: {other:?}"),
    }
}

#[cfg(test)]
mod tests;
