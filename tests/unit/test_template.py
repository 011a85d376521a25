"""Go templates: results and error texts are Go's (``tests/compat`` asks the real one)."""

import re
from typing import Any

import pytest

from lamina.template import GoTime, Record, TemplateError, TemplateSyntaxError, TextMap, parse

DOCUMENT: dict[str, Any] = {
    "Name": "web",
    "Size": 1982256,
    "Tags": ["a:1", "b:2"],
    "Empty": [],
    "Config": {"Labels": {"x": "1", "y": "2"}, "Env": None, "Volumes": {"/data": {}}},
    "On": True,
    "Off": False,
    "Nothing": None,
}


def run(source: str, value: object = DOCUMENT) -> str:
    return parse(source).execute(value)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("plain", "plain"),
        ("{{.Name}} {{.Size}} {{.On}} {{.Nothing}}", "web 1982256 true <no value>"),
        ("{{.Tags}} {{.Config.Labels}} {{.Config.Volumes}}", "[a:1 b:2] map[x:1 y:2] map[/data:{}]"),
        ("{{.Config.Env}} {{json .Config.Env}} {{len .Config.Env}}", "[] null 0"),
        ("{{json .Config}}", '{"Labels":{"x":"1","y":"2"},"Env":null,"Volumes":{"/data":{}}}'),
        ('{{json "<a>&é"}}', '"<a>&é"'),
        ("{{if .On}}y{{end}}{{if .Off}}y{{else}}n{{end}}{{if .Empty}}y{{else if .Name}}z{{end}}", "ynz"),
        ("{{range .Tags}}{{.}};{{end}}", "a:1;b:2;"),
        ("{{range $i, $t := .Tags}}{{$i}}={{$t}} {{end}}", "0=a:1 1=b:2 "),
        ("{{range $t := .Tags}}{{$t}}{{$.Name}} {{end}}", "a:1web b:2web "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}{{$v}}{{end}}", "x1y2"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Tags}}{{.}}{{break}}{{end}}", "a:1"),
        ('{{range .Tags}}{{if eq . "a:1"}}{{continue}}{{end}}{{.}}{{end}}', "b:2"),
        ("{{with .Name}}{{.}}{{end}}{{with .Off}}x{{else}}y{{end}}", "weby"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "web"),
        ("{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "12"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("a {{- /* comment */ -}} b", "ab"),
        ("a {{/* comment */}} b", "a  b"),
        ("a {{- .Name -}} b", "awebb"),
        ("{{true}} {{1.5}} {{1e3}} {{0x10}} {{'a'}} {{`raw\\n`}} {{\"\\t\\u00e9\"}}", "true 1.5 1000 16 97 raw\\n \té"),
        ('{{index .Tags 1}} {{index .Config.Labels "x"}} [{{index .Config.Labels "zz"}}]', "b:2 1 []"),
        ('{{(index .Tags 0) | printf "%s!"}}', "a:1!"),
        ("{{slice .Name 1 2}} {{slice .Tags 1}}", "e [b:2]"),
        ("{{len .Tags}} {{len .Name}} {{.Tags | len}}", "2 3 2"),
        (
            '{{eq .Name "x" "web"}} {{ne .Name "x"}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 1}}',
            "true true true true false true",
        ),
        ('{{and .Name 1}} {{or "" .Name}} {{not .Name}}', "1 web false"),
        ("{{and .Off .Missing.Deep}}", "false"),
        (
            '{{join .Tags ","}} {{split "a-b" "-"}} {{upper .Name}} {{lower "AB"}} {{title "ab cd"}}',
            "a:1,b:2 [a b] WEB ab Ab Cd",
        ),
        ("{{pad .Name 1 2}}| {{truncate .Name 2}} {{truncate .Name 9}}", " web  | we web"),
        ("{{println .Name 1}}{{print 1 2 .Name}}", "web 1\n1 2web"),
        (
            '{{printf "%s %d %v %q %5.1f|%-4s|%4s|%04d %t %x %%" "a" 1 true "b" 1.25 "c" "d" 7 false 255}}',
            'a 1 true "b"   1.2|c   |   d|0007 false ff %',
        ),
        ('{{printf "%d" "x"}} {{printf "%s"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int64=1)"),
        ('{{html "<a>"}} {{urlquery "a b"}}', "&lt;a&gt; a+b"),
        ("{{.}}", "map[Off:false]"),
    ],
)
def test_a_template_gives_what_go_gives(source: str, result: str) -> None:
    value = {"Off": False} if source == "{{.}}" else DOCUMENT
    assert run(source, value) == result


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Name", "template: :1: unclosed action"),
        ("{{foo}}", 'template: :1: function "foo" not defined'),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{else}}", "template: :1: unexpected {{else}}"),
        ("{{if}}{{end}}", "template: :1: missing value for if"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{if .Name}}", "template: :1: unexpected EOF"),
        ("a\n{{$y}}", 'template: :2: undefined variable "$y"'),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ('{{"abc}}', "template: :1: unterminated quoted string"),
        ("{{/* x }}", "template: :1: unclosed comment"),
    ],
)
def test_a_malformed_template_is_refused_with_gos_words(source: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(source)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Foo}}", '1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.Config.Foo}}", '1:9: executing "" at <.Config.Foo>: map has no entry for key "Foo"'),
        ("{{.Name.Foo}}", '1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type interface {}'),
        ("{{index .Tags 9}}", '1:2: executing "" at <index .Tags 9>: error calling index: index out of range: 9'),
        ("{{split .Name}}", '1:2: executing "" at <split>: wrong number of args for split: want 2 got 1'),
        ("{{1 2}}", '1:2: executing "" at <1>: can\'t give argument to non-function 1'),
        ("{{nil}}", '1:2: executing "" at <nil>: nil is not a command'),
        ('{{eq 1 "a"}}', '1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison'),
        ("x\n {{.Foo}}", '2:3: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{lower .Size}}", '1:8: executing "" at <.Size>: wrong type for value; expected string; got int64'),
        ("{{range .Name}}{{end}}", '1:8: executing "" at <.Name>: range can\'t iterate over web'),
    ],
)
def test_a_template_that_does_not_fit_is_refused_with_gos_words(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        run(source)
    assert str(caught.value) == f"template: :{message}"


def test_a_record_computes_only_what_is_asked_for() -> None:
    asked: list[str] = []

    def column(name: str) -> Any:
        return lambda: asked.append(name) or name.lower()

    record = Record({"B": column("B"), "A": column("A")}, "*formatter.imageContext")
    assert run("{{.A}}", record) == "a"
    assert asked == ["A"]
    assert run("{{json .}}", record) == '{"A":"a","B":"b"}'
    with pytest.raises(TemplateError, match=r"can't evaluate field C in type \*formatter.imageContext"):
        run("{{.C}}", record)


def test_a_header_shows_titles_and_ignores_functions() -> None:
    template = parse("{{upper .Name}}\t{{json .Size}}\t{{.Other}}")
    assert template.header({"Name": "name", "Size": "SIZE"}) == "name\tSIZE\t<no value>"


def test_a_time_prints_as_gos_time_and_is_text_in_json() -> None:
    value = {"At": GoTime("2026-11-24T22:26:48.76Z")}
    assert run("{{.At}} {{json .At}}", value) == '2026-11-24 22:26:48.76 +0000 UTC "2026-11-24T22:26:48.76Z"'


def test_a_method_takes_a_text() -> None:
    record = Record({"Name": lambda: "n"}, "*formatter.x", {"Label": lambda name: {"k": "v"}.get(name, "")})
    assert parse('{{.Label "k"}}|{{"k" | .Label}}|{{.Label "x"}}').execute(record) == "v|v|"
    assert parse('{{.Name}} {{.Label "com.example.some-name"}}').header({"Name": "NAME"}) == "NAME some name"
    messages = {
        '{{.Name "k"}}': "at <.Name>: wrong number of args for Name: want 0 got 1",
        "{{.Name.Foo}}": "at <.Name.Foo>: can't evaluate field Foo in type string",
        "{{.Label}}": "at <.Label>: wrong number of args for Label: want 1 got 0",
        '{{.Label "a" "b"}}': "at <.Label>: wrong number of args for Label: want 1 got 2",
    }
    for source, message in messages.items():
        with pytest.raises(TemplateError, match=re.escape(message)):
            parse(source).execute(record)


def test_a_row_is_escaped_in_json_as_docker_does() -> None:
    record = Record({"Command": lambda: "a <b> & é"}, "*formatter.x")
    assert parse("{{json .}} {{json .Command}}").execute(record) == (
        '{"Command":"a \\u003cb\\u003e \\u0026 é"} "a <b> & é"'
    )


def test_a_value_shows_its_fields_and_messages_name_the_template() -> None:
    columns = {"B": lambda: TextMap(k="v"), "A": lambda: "a", "Method": lambda: "m"}
    record = Record(columns, "*logger.Info", fields=("B", "A"))
    source = '{{json .}} {{.}} {{.Method}} {{.B.k}} {{.B.no}} {{index .B "no"}}|{{printf "%T" .B}}'
    assert parse(source).execute(record) == ('{"B":{"k":"v"},"A":"a"} {map[k:v] a} m v <no value> |map[string]string')
    messages = {
        "{{.A 1}}": '1:2: executing "tag" at <.A>: A has arguments but cannot be invoked as function',
        "{{.Method 1}}": '1:2: executing "tag" at <.Method>: wrong number of args for Method: want 0 got 1',
        "{{.No}}": '1:2: executing "tag" at <.No>: can\'t evaluate field No in type *logger.Info',
        "{{index .B 1}}": "at <index .B 1>: error calling index: value has type int; should be string",
        "{{index .B nil}}": "error calling index: value is nil; should be of type string",
    }
    for source, message in messages.items():
        with pytest.raises(TemplateError, match=f"template: tag:.*{re.escape(message)}"):
            parse(source, "tag").execute(record)
    with pytest.raises(TemplateSyntaxError, match="template: tag:2: unclosed action"):
        parse("\n{{", "tag")
