//! Chat templates of a directory in Hugging Face layout: one without a name, and others that templates for tools and
//! the like go by.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Error, Result, files};

/// The file of the template without a name. It outranks the setting of that name.
pub(super) const FILE: &str = "chat_template.jinja";
/// The folder of the named ones, `NAME.jinja` each.
pub(super) const FOLDER: &str = "additional_chat_templates";

/// Templates as Jinja source.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Templates {
    pub default: Option<String>,
    pub named: BTreeMap<String, String>,
}

impl Templates {
    /// Reads what `dir` holds; `setting` is `chat_template` of the settings file at `path`: text, or a list of named
    /// templates with one called "default".
    pub(super) fn read(dir: &Path, path: &Path, setting: Option<&Value>) -> Result<Self> {
        let mut templates = match setting {
            None | Some(Value::Null) => Self::default(),
            Some(Value::String(text)) => Self { default: Some(text.clone()), named: BTreeMap::new() },
            Some(Value::Array(entries)) => Self::of_list(entries).map_err(|why| Error::format(path, why))?,
            Some(_) => {
                let reason = "chat_template is neither text nor a list of named templates";
                return Err(Error::format(path, reason));
            }
        };
        if files::exists(&dir.join(FILE)) {
            templates.default = Some(source(&dir.join(FILE))?);
        }
        let folder = dir.join(FOLDER);
        if files::exists(&folder) {
            for file in files::list(&folder).map_err(|error| Error::io("read", &folder, &error))? {
                let name =
                    file.file_name().and_then(|name| name.to_str()).and_then(|n| n.strip_suffix(".jinja"));
                if let Some(name) = name {
                    templates.named.insert(name.to_owned(), source(&file)?);
                }
            }
            if templates.default.is_none() && !templates.named.is_empty() {
                return Err(Error::format(&folder, "Holds templates beside none that is the default"));
            }
        }
        Ok(templates)
    }

    fn of_list(entries: &[Value]) -> std::result::Result<Self, String> {
        let mut named = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let (Some(name), Some(template)) = (text("name"), text("template")) else {
                return Err(format!("chat_template has no name or no template at {at}, expected texts"));
            };
            if named.insert(name.to_owned(), template.to_owned()).is_some() {
                return Err(format!("chat_template has \"{name}\" twice"));
            }
        }
        let default = named.remove("default");
        if default.is_none() {
            return Err("chat_template is a list without \"default\", expected one of that name".into());
        }
        Ok(Self { default, named })
    }
}

/// The setting from which [`Templates::read`] gives the same templates.
pub(super) fn setting(default: &str, named: &BTreeMap<String, String>) -> Value {
    if named.is_empty() {
        return json!(default);
    }
    let entry = |name: &str, template: &str| json!({ "name": name, "template": template });
    let named = named.iter().map(|(name, template)| entry(name, template));
    std::iter::once(entry("default", default)).chain(named).collect()
}

fn source(file: &Path) -> Result<String> {
    let bytes = files::read(file).map_err(|error| Error::io("read", file, &error))?;
    String::from_utf8(bytes).map_err(|error| Error::format(file, format!("Not text: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(FOLDER)).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn read(dir: &Path, setting: &Value) -> Result<Templates> {
        Templates::read(dir, Path::new("tokenizer_config.json"), Some(setting))
    }

    fn templates(default: &str, named: &[(&str, &str)]) -> Templates {
        let named = named.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Templates { default: Some(default.to_owned()), named }
    }

    #[test]
    fn files_outrank_settings_and_named_ones_are_gathered() {
        let list = json!([{ "name": "tool_use", "template": "T" }, { "name": "default", "template": "D" }]);
        let none = folder(&[]);
        assert_eq!(read(none.path(), &json!("x")).unwrap(), templates("x", &[]));
        assert_eq!(read(none.path(), &Value::Null).unwrap(), Templates::default());
        assert_eq!(read(none.path(), &list).unwrap(), templates("D", &[("tool_use", "T")]));
        let files = [
            (FILE, "F"),
            ("additional_chat_templates/rag.jinja", "R"),
            ("additional_chat_templates/tool_use.jinja", "U"),
            ("additional_chat_templates/notes.txt", "no template"),
        ];
        let whole = templates("F", &[("rag", "R"), ("tool_use", "U")]);
        assert_eq!(read(folder(&files).path(), &list).unwrap(), whole);
        assert_eq!(read(none.path(), &setting("F", &whole.named)).unwrap(), whole);
        assert_eq!(setting("F", &BTreeMap::new()), json!("F"));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let none = folder(&[]);
        for (setting, quoted) in [
            (json!([]), "without \"default\""),
            (json!(3), "neither text"),
            (json!([{ "name": "default" }]), "at 0"),
            (json!([{ "name": "a", "template": "" }, { "name": "a", "template": "" }]), "\"a\" twice"),
        ] {
            let error = read(none.path(), &setting).unwrap_err().to_string();
            assert!(error.contains(quoted) && error.contains("tokenizer_config.json"), "{error}");
        }
        let alone = folder(&[("additional_chat_templates/rag.jinja", "R")]);
        assert!(read(alone.path(), &Value::Null).unwrap_err().to_string().contains("default"));
    }
}
