//! The OpenAPI document as one page of HTML for people, without scripts or external resources.

mod markup;
mod shape;

use serde_json::Value;

use markup::{escaped, fields, prose, text};

const STYLE: &str = include_str!("api_page/page.css");

/// The complete page.
pub(crate) fn of(document: &Value) -> String {
    let info = &document["info"];
    let operations = operations(document);
    let groups = || document["tags"].as_array().into_iter().flatten();
    let of_group = |group: &Value| {
        let name = text(&group["name"]).to_owned();
        operations.iter().filter(move |operation| operation.detail["tags"][0] == name.as_str())
    };
    let links: String = groups().map(|group| format!("<p>{}</p>{}", text(&group["name"]), list(of_group(group).map(link)))).collect();
    let sections: String = groups()
        .map(|group| {
            let all: String = of_group(group).map(section).collect();
            format!("<h2>{}</h2>{}{all}", text(&group["name"]), prose(text(&group["description"])))
        })
        .collect();
    let shapes = fields(&document["components"]["schemas"]);
    let shape_links = list(shapes.clone().map(|(name, _)| format!("<a href=\"#shape-{name}\">{name}</a>")));
    let all_shapes: String = shapes.map(|(name, schema)| shape::section(name, schema)).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><nav><details open><summary>{title}</summary>{links}<details><summary>Schemas</summary>\
         {shape_links}</details></details></nav><main><h1>{title} <small>{version}</small></h1>{about}{token}\
         <p>For programs: <a href=\"openapi.json\">openapi.json</a></p>{refusals}{sections}<h2>Schemas</h2>{all_shapes}</main></body></html>\n",
        title = text(&info["title"]),
        version = text(&info["version"]),
        about = prose(text(&info["description"])),
        token = token(document),
        refusals = refusals(document),
    )
}

/// One method of one path.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    detail: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(&self.detail["operationId"])
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let methods = |(path, item)| fields(item).map(move |(method, detail)| Operation { method, path, detail });
    fields(&document["paths"]).flat_map(methods).collect()
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: String = items.map(|item| format!("<li>{item}</li>")).collect();
    format!("<ul>{items}</ul>")
}

fn link(operation: &Operation<'_>) -> String {
    format!("<a href=\"#{}\"><b class=\"{}\">{}</b>{}</a>", operation.id(), operation.method, operation.method, path(operation.path))
}

/// A path with a possible line break after each slash.
fn path(path: &str) -> String {
    escaped(path).replace('/', "<wbr>/")
}

fn token(document: &Value) -> String {
    let scheme = &document["components"]["securitySchemes"]["token"];
    format!("{}<pre>curl -H \"Authorization: Bearer $WEIR_TOKEN\" ADDRESS/api/v1/weir/status</pre>", prose(text(&scheme["description"])))
}

/// Responses that are possible on every path, described once.
fn refusals(document: &Value) -> String {
    let all = fields(&document["components"]["responses"]);
    let rows: String = all.map(|(name, response)| answer(&format!("<span id=\"answer-{name}\">{name}</span>"), response)).collect();
    format!("<h4>Common responses</h4><table>{rows}</table>")
}

fn section(operation: &Operation<'_>) -> String {
    let detail = operation.detail;
    let open = match detail["security"][1]["token"][0].as_str() {
        Some(scope) => {
            format!("<p class=\"open\">Requires a token of scope <code>{}</code>, if the gateway has tokens.</p>", escaped(scope))
        }
        None => "<p class=\"open\">Requires no token.</p>".to_owned(),
    };
    format!(
        "<section id=\"{id}\"><h3><b class=\"{method}\">{method}</b> <code>{path}</code></h3><p class=\"lead\">{summary}</p>{about}{open}{takes}{answers}</section>",
        id = operation.id(),
        method = operation.method,
        path = path(operation.path),
        summary = markup::inline(text(&detail["summary"])),
        about = prose(text(&detail["description"])),
        takes = takes(detail),
        answers = answers(detail),
    )
}

fn takes(detail: &Value) -> String {
    let parameter = |parameter: &Value| {
        let must = if parameter["required"] == true { "" } else { " <i>optional</i>" };
        row([
            format!("<code>{}</code>{must}", text(&parameter["name"])),
            format!("{}, in the {}", shape::of(&parameter["schema"]), text(&parameter["in"])),
            markup::inline(text(&parameter["description"])),
        ])
    };
    let mut rows: String = detail["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    let body = &detail["requestBody"];
    for (at, (media_type, content)) in fields(&body["content"]).enumerate() {
        let about = if at == 0 { markup::inline(text(&body["description"])) } else { String::new() };
        rows += &row(["the body".to_owned(), format!("{}<br><small>{media_type}</small>", shape::of(&content["schema"])), about]);
    }
    if rows.is_empty() { rows } else { format!("<h4>Parameters</h4><table>{rows}</table>") }
}

fn answers(detail: &Value) -> String {
    let all = || fields(&detail["responses"]);
    let rows: String = all()
        .filter(|(_, response)| !response["$ref"].is_string())
        .map(|(status, response)| answer(&format!("<code>{status}</code>"), response))
        .collect();
    let shared = |(status, response): (&str, &Value)| {
        let name = response["$ref"].as_str()?.rsplit('/').next()?;
        Some(format!("{status} <a href=\"#answer-{name}\">{name}</a>"))
    };
    let shared: Vec<String> = all().filter_map(shared).collect();
    format!("<h4>Responses</h4><table>{rows}</table><p class=\"open\">{}</p>", shared.join(", "))
}

fn answer(name: &str, response: &Value) -> String {
    let of = |(media_type, content): (&str, &Value)| format!("{}<br><small>{media_type}</small>", shape::of(&content["schema"]));
    let contents: Vec<String> = fields(&response["content"]).map(of).collect();
    row([name.to_owned(), contents.join("<br>"), markup::inline(text(&response["description"]))])
}

fn row(cells: [String; 3]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{cells}</tr>")
}
