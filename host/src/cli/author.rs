//! `saga new`, `saga test` and `saga doctor`: a project of an author, and the toolchain for it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::arguments::load;
use super::reply::json_line;
use super::{complain, exit, say, table, verify};
use crate::author::create::{self, NotCreated, SdkSource};
use crate::author::language::Language;
use crate::author::name::ProjectName;
use crate::author::project::Project;
use crate::author::steps::{Step, StepFailed, Toolchain};
use crate::author::toolchain::{self, Finding};
use crate::base::printable::Lines;
use crate::logging;
use crate::rollout::verify::Verify;

/// The settings file of a project.
const SETTINGS: &str = "saga.toml";

/// A project to make.
#[derive(Debug, Args)]
pub(crate) struct NewProject {
    /// Name of the participant, its crate and its folder; a path makes the folder there
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// The language of the rules
    #[arg(long, value_name = "LANGUAGE", default_value = LANGUAGE, value_parser = languages())]
    lang: String,
    /// Another SDK: the folder of it or of a checkout, or the URL of a Git repository
    /// [default: the one of this program, as vendor/saga-sdk]
    #[arg(long, value_name = "PATH|URL")]
    sdk: Option<String>,
}

/// The language that is meant unless another is named.
const LANGUAGE: &str = "rust";

/// Reads the name of a language.
pub(super) fn languages() -> PossibleValuesParser {
    PossibleValuesParser::new(Language::ALL.map(Language::name))
}

/// The language of this name, which was checked.
fn language(name: &str) -> Language {
    Language::named(name).unwrap_or(Language::Rust)
}

/// Makes a project; gives the exit code.
pub(super) fn new(request: &NewProject) -> u8 {
    let name = (request.folder.file_name())
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = match ProjectName::parse(&name) {
        Ok(name) => name,
        Err(reason) => {
            complain(&reason);
            return exit::USAGE;
        }
    };
    let language = language(&request.lang);
    let sdk = request
        .sdk
        .as_deref()
        .map_or(SdkSource::Embedded, SdkSource::of);
    if let Err(error) = create::create(&request.folder, &name, language, &sdk) {
        complain(&error.to_string());
        return match error {
            NotCreated::Sdk(_) => exit::USAGE,
            NotCreated::Occupied(_) | NotCreated::Refused { .. } => exit::STORE,
        };
    }
    let mut text = Lines::default();
    let folder = request.folder.display();
    text.add(format_args!(
        "{folder} is made: rules in src, their tests in tests, calls to try in README.md"
    ));
    text.add(format_args!("next: cd {folder} && saga dev"));
    say(&text.text());
    for finding in language.check(&request.folder) {
        if let Some(line) = lack(&finding) {
            complain(&line);
        }
    }
    exit::DONE
}

/// Builds, tests and checks the project of the present folder; gives the exit code.
pub(super) fn test(config: Option<PathBuf>) -> u8 {
    let project = match project() {
        Ok(project) => project,
        Err(code) => return code,
    };
    let config = config.or_else(|| settings_file(&project));
    let config = match load(config.as_deref(), Vec::new()) {
        Ok(config) => config,
        Err(error) => {
            error.0.iter().for_each(|problem| complain(problem));
            return exit::USAGE;
        }
    };
    let toolchain = Toolchain::default();
    if let Err(error) = run(Step::Build, &project, &toolchain) {
        complain(&error.to_string());
        return code(&error);
    }
    // Before the tests: a contract that is wrong fails each of them.
    let request = Verify {
        path: project.component.clone(),
        ..Verify::default()
    };
    let checked = match verify::checked(&config, &request) {
        Ok(verified) => verified,
        Err(error) => return verify::refuse(error, false),
    };
    if let Err(error) = run(Step::Test, &project, &toolchain) {
        complain(&error.to_string());
        return code(&error);
    }
    say(&table::verified(&checked));
    exit::DONE
}

/// Runs a step, each command after its command line.
pub(super) fn run(step: Step, project: &Project, toolchain: &Toolchain) -> Result<(), StepFailed> {
    for words in project.language.commands(step, &project.folder) {
        say(&format!("$ {}\n", words.join(" ")));
        // What was said before stands before what the program says.
        logging::flush();
        toolchain.run(step, &words, project)?;
    }
    Ok(())
}

/// The exit code after a failed step.
pub(super) fn code(error: &StepFailed) -> u8 {
    match error {
        StepFailed::Failed(_) => exit::COMPONENT,
        StepFailed::NoProgram(_) => exit::UNAVAILABLE,
        StepFailed::Stopped => exit::DONE,
    }
}

/// The project of the present folder, if the toolchain can build it; or the exit code.
pub(super) fn project() -> Result<Project, u8> {
    let folder = std::env::current_dir().map_err(|error| {
        complain(&format!("the present folder can't be found: {error}"));
        exit::USAGE
    })?;
    let findings = Language::of(&folder).check(&folder);
    let lacks: Vec<_> = findings.iter().filter_map(lack).collect();
    if !lacks.is_empty() {
        lacks.iter().for_each(|lack| complain(lack));
        return Err(exit::UNAVAILABLE);
    }
    let found = Project::find(&folder).and_then(|project| match project.folder == folder {
        true => Ok(project),
        false => Err(format!(
            "{}: is not the folder of the project, go to {}",
            folder.display(),
            project.folder.display()
        )),
    });
    found.map_err(|reason| {
        complain(&reason);
        exit::USAGE
    })
}

/// The settings file of a project, if it has one.
pub(super) fn settings_file(project: &Project) -> Option<PathBuf> {
    project
        .folder
        .join(SETTINGS)
        .is_file()
        .then(|| SETTINGS.into())
}

/// Looks at the toolchain of this language, or of the project of the present folder; gives the exit code.
pub(super) fn doctor(named: Option<&str>, fix: bool, json: bool) -> u8 {
    // Absolute, so that the folders above it are known.
    let folder = std::env::current_dir().unwrap_or_else(|_| ".".into());
    let folder = folder.as_path();
    let language = named.map_or_else(|| Language::of(folder), language);
    let mut findings = language.check(folder);
    let is_fixable = |finding: &Finding| finding.part == toolchain::TARGET && !finding.is_fit;
    if fix && findings.iter().any(is_fixable) {
        if let Err(reason) = toolchain::install_target(folder) {
            complain(&reason);
        }
        findings = language.check(folder);
    }
    let printed = match json {
        true => json_line(&findings),
        false => Ok(told(&findings)),
    };
    match printed {
        Ok(text) => say(&text),
        Err(failure) => return failure.report(),
    }
    match findings.iter().all(|finding| finding.is_fit) {
        true => exit::DONE,
        false => exit::UNAVAILABLE,
    }
}

/// One line for each part, and one for each remedy.
fn told(findings: &[Finding]) -> String {
    let mut text = Lines::default();
    for finding in findings {
        let word = if finding.is_fit { "ok" } else { "unfit" };
        text.add(format_args!(
            "{word:<5}  {:<13}  {}",
            finding.part, finding.found
        ));
        if let Some(remedy) = &finding.remedy {
            text.add(format_args!("       {:<13}  {remedy}", ""));
        }
    }
    text.text()
}

/// The lacks of a toolchain, with their remedies.
fn lack(finding: &Finding) -> Option<String> {
    let remedy = finding.remedy.as_ref()?;
    Some(format!(
        "the toolchain can't build components: {}: {}\n{remedy}",
        finding.part, finding.found
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_a_remedy_another() {
        let finding = |part, is_fit, found: &str, remedy: Option<&str>| Finding {
            part,
            is_fit,
            found: found.into(),
            remedy: remedy.map(str::to_owned),
            detail: None,
        };
        let findings = [
            finding("cargo", true, "1.95.0", None),
            finding(
                "wasm32-wasip2",
                false,
                "no `core`\u{1b}[31m",
                Some("rustup target add"),
            ),
        ];
        assert_eq!(
            told(&findings),
            "ok     cargo          1.95.0\nunfit  wasm32-wasip2  no `core`\\u{1b}[31m\n                      rustup target add\n"
        );
        assert_eq!(lack(&findings[0]), None);
        assert!(lack(&findings[1]).unwrap().ends_with("\nrustup target add"));
    }
}
