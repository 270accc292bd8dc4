//! The files of a crate, and which of them names something of which other. A path is followed through imports and re-exports
//! to the file that defines what it names. Code for tests (`#[cfg(test)]`) is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Re-exports of re-exports that are followed before a name counts as not found.
const DEPTH_MAX: usize = 16;

/// One module; a file is one, and so is each inline module in it.
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// Names that the module defines itself.
    items: BTreeSet<String>,
    /// Names that it imports or re-exports, and the path to each.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Every path in its code, those of imports included.
    paths: Vec<Vec<String>>,
}

/// A crate's modules, from one root file.
pub struct Crate {
    files: Vec<PathBuf>,
    modules: Vec<Module>,
}

/// From a file to another: the names that tie the first to the second.
pub type Edges = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

impl Crate {
    /// Reads the crate whose root is `root`, with all files that its `mod` declarations name.
    pub fn read(root: &Path) -> Self {
        let mut it = Self { files: Vec::new(), modules: Vec::new() };
        let folder = root.parent().expect("a root lies in a folder").to_path_buf();
        it.file(root, folder, None);
        it
    }

    /// Which file names something of which other. A module may name what the modules around it define: they are its context.
    pub fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (at, module) in self.modules.iter().enumerate() {
            for path in &module.paths {
                // A path that ends at a module names nothing of it yet.
                let Some((target, Named::Item)) = self.resolve(at, path, 0) else { continue };
                let (from, to) = (module.file, self.modules[target].file);
                if self.files[from] != self.files[to] && !self.is_above(target, at) {
                    let ties = edges.entry(self.files[from].clone()).or_default();
                    ties.entry(self.files[to].clone()).or_default().insert(path.join("::"));
                }
            }
        }
        edges
    }

    /// Whether module `above` contains module `below`, at any depth.
    fn is_above(&self, above: usize, below: usize) -> bool {
        self.modules[below].parent.is_some_and(|parent| parent == above || self.is_above(above, parent))
    }

    /// Parses `path`, whose submodules lie below `folder`, and returns the index of its module.
    fn file(&mut self, path: &Path, folder: PathBuf, parent: Option<usize>) -> usize {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.files.push(path.to_path_buf());
        self.module(&parsed.items, self.files.len() - 1, &folder, parent)
    }

    fn module(&mut self, items: &[syn::Item], file: usize, folder: &Path, parent: Option<usize>) -> usize {
        let at = self.modules.len();
        let names = Names::of(items);
        self.modules.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            items: names.items,
            imports: names.imports,
            globs: names.globs,
            paths: names.paths,
        });
        for item in items {
            let syn::Item::Mod(module) = item else { continue };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let below = folder.join(&name);
            let child = match (&module.content, path_attribute(&module.attrs)) {
                (Some((_, items)), None) => self.module(items, file, &below, Some(at)),
                (Some((_, items)), Some(path)) if path == "." => self.module(items, file, folder, Some(at)),
                (Some((_, items)), Some(path)) => self.module(items, file, &folder.join(path), Some(at)),
                (None, Some(path)) => {
                    let path = self.files[file].parent().expect("a folder").join(path);
                    let below = path.parent().expect("a folder").to_path_buf();
                    self.file(&path, below, Some(at))
                }
                (None, None) => {
                    let flat = folder.join(format!("{name}.rs"));
                    let path = if flat.exists() { flat } else { below.join("mod.rs") };
                    self.file(&path, below, Some(at))
                }
            };
            self.modules[at].children.insert(name, child);
        }
        at
    }

    /// The module that defines what `path` names in module `from`; `None` for what lies outside the crate.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<(usize, Named)> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => self.above(from, rest, depth),
            _ => self.walk(from, path, depth),
        }
    }

    fn above(&self, from: usize, rest: &[String], depth: usize) -> Option<(usize, Named)> {
        let parent = self.modules[from].parent?;
        match rest.split_first() {
            Some((next, rest)) if next == "super" => self.above(parent, rest, depth),
            _ => self.walk(parent, rest, depth),
        }
    }

    fn walk(&self, at: usize, path: &[String], depth: usize) -> Option<(usize, Named)> {
        let Some((name, rest)) = path.split_first() else { return Some((at, Named::Module)) };
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return self.walk(*child, rest, depth);
        }
        if module.items.contains(name) {
            return Some((at, Named::Item));
        }
        if let Some(import) = module.imports.get(name) {
            let whole: Vec<String> = import.iter().chain(rest).cloned().collect();
            // `use a::b;` inside `a` would find itself.
            return if whole == path { None } else { self.resolve(at, &whole, depth + 1) };
        }
        module.globs.iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
            self.resolve(at, &whole, depth + 1)
        })
    }
}

/// What a path ends at.
#[derive(Clone, Copy)]
enum Named {
    Module,
    Item,
}

/// The names in one module's items.
#[derive(Default)]
struct Names {
    items: BTreeSet<String>,
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    paths: Vec<Vec<String>>,
}

impl Names {
    fn of(items: &[syn::Item]) -> Self {
        let mut it = Self::default();
        for item in items {
            if let Some(name) = defined(item) {
                it.items.insert(name);
            }
            it.visit_item(item);
        }
        it
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) && !matches!(item, syn::Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for used in used(&item.tree) {
            self.paths.push(used.path.clone());
            match used.name {
                Some(name) => drop(self.imports.insert(name, used.path)),
                None => self.globs.push(used.path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        visit::visit_path(self, &mac.path);
        paths_of_tokens(mac.tokens.clone(), &mut self.paths);
    }
}

/// The paths in the tokens of a macro's call.
fn paths_of_tokens(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    paths.push(std::mem::take(&mut path));
                }
                path.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                paths_of_tokens(group.stream(), paths);
                colons = 0;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
        }
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
}

/// One name of an import.
pub struct Used {
    /// The whole path.
    pub path: Vec<String>,
    /// The name that it has from then on; `None` for `*`.
    pub name: Option<String>,
}

/// The names of an import, one by one.
pub fn used(tree: &syn::UseTree) -> Vec<Used> {
    let mut found = Vec::new();
    names_of_tree(tree, &mut Vec::new(), &mut found);
    found
}

fn names_of_tree(tree: &syn::UseTree, before: &mut Vec<String>, found: &mut Vec<Used>) {
    let mut push = |last: Option<&syn::Ident>, name: Option<&syn::Ident>| {
        let last = last.map(ToString::to_string).filter(|last| last != "self" || before.is_empty());
        let path: Vec<String> = before.iter().cloned().chain(last).collect();
        let name = name.map(ToString::to_string).map(|name| match name.as_str() {
            "self" => path.last().cloned().unwrap_or_default(),
            _ => name,
        });
        found.push(Used { path, name });
    };
    match tree {
        syn::UseTree::Name(used) => push(Some(&used.ident), Some(&used.ident)),
        syn::UseTree::Rename(used) => push(Some(&used.ident), Some(&used.rename)),
        syn::UseTree::Glob(_) => push(None, None),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| names_of_tree(tree, before, found)),
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            names_of_tree(&path.tree, before, found);
            before.pop();
        }
    }
}

/// Every path in a file outside its tests, those of imports with what they name.
pub fn paths(text: &str) -> (Vec<Used>, Vec<Vec<String>>) {
    #[derive(Default)]
    struct All {
        used: Vec<Used>,
        names: Names,
    }
    impl<'ast> Visit<'ast> for All {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            if !is_for_tests(attributes(item)) {
                visit::visit_item(self, item);
            }
        }

        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            self.used.extend(used(&item.tree));
        }

        fn visit_path(&mut self, path: &'ast syn::Path) {
            self.names.visit_path(path);
        }

        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            self.names.visit_macro(mac);
        }
    }
    let file = syn::parse_file(text).expect("sources parse");
    let mut all = All::default();
    file.items.iter().for_each(|item| all.visit_item(item));
    (all.used, all.names.paths)
}

fn defined(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(test)
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else { return None };
        Some(path.value())
    })
}
