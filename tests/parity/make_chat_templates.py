"""What transformers renders, for chat templates that use the constructs of the families' own.

Writes tests/fixtures/chat_templates.json: templates, conversations, and for each pair and each setting the text, or
null where the template raises. The templates are written for this test.
"""

from datetime import datetime
from pathlib import Path

from fixture_rules import write_json
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template

OUT = Path(__file__).parent.parent / "fixtures" / "chat_templates.json"
NOW = datetime(2026, 3, 7, 16, 5, 9)

# ChatML with a default system prompt, on lines of its own (the shape of SmolLM2 and Qwen2.5).
CHATML = """{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
{%- endif %}
{% for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{% endif %}
"""

# Tools as JSON in the system turn, calls in tags, tool answers gathered in a user turn, thinking that only the last
# turns keep, and its switch (the shape of Qwen3).
THINKING = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

# Headers, a date, tools with indented JSON in the first user turn, roles that are refused (the shape of Llama 3.1).
HEADERS = """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- The system message is taken out. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools is not none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("There is no user message to put the tools into") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One call at a time") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- tool_call.name + "(" }}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' ~ arg_val ~ '"' }}
            {%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
        {{- ")<|eot_id|>" }}
    {%- elif message.role == "tool" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""

# One line, a namespace for what is seen on the way, thinking cut away (the shape of the DeepSeek-R1 distillations).
DISTILLED = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(is_first=false, is_tool=false, system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}"
    "{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}"
    "{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['tool_calls'] is defined and message['tool_calls'] is not none %}"
    "{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{{'<｜Call｜>' + tool['type'] + ':' + tool['function']['name'] + '\\n' + tool['function']['arguments']|tojson}}{%- endfor %}{%- endif %}"
    "{%- if message['role'] == 'assistant' and not message['tool_calls'] %}{%- if ns.is_tool %}{{'<｜outputs▁end｜>' + message['content'] + '<｜end｜>'}}{%- set ns.is_tool = false -%}{%- else %}"
    "{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end｜>'}}{%- endif %}{%- endif %}"
    "{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{'<｜output｜>' + message['content']}}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"
)

# Macros, a switch with another name, alternating roles (the shape of Mistral and Granite).
MACROS = """{%- macro turn(role, text, close=true) -%}
    {{ '[' ~ role | upper ~ ']' }} {{ text }}{% if close %}[/{{ role | upper }}]{% endif %}
{%- endmacro -%}
{%- if not thinking is defined %}{% set thinking = false %}{% endif -%}
{%- set loop_messages = messages if messages[0].role != 'system' else messages[1:] -%}
{{ bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}
    {{- turn(message.role, message.content, close=(not loop.last)) }}
    {%- if loop.last %}{{ loop.length }}/{{ loop.revindex }}{{ eos_token }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ turn('assistant', 'thinking=' ~ thinking, close=false) }}{% endif -%}
"""

# One construct each; what they print is the test.
CONSTRUCTS = [
    "{{ '  a\\n'.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'ab-ba'.lstrip('ab') }}|{{ '\\n\\n a \\n'.rstrip('\\n') }}|{{ '\\ufeff\\x1c a'.strip() }}|",
    "{{ true }}|{{ false }}|{{ none }}|{{ 1 }}|{{ 1.0 }}|{{ 2.5 }}|{{ undefined_thing }}|{{ -3 // 2 }}|{{ 7 % 3 }}",
    "{{ true ~ 'x' ~ none ~ 1.5 }}|{{ [1, 'a', none, true] }}|{{ {'k': 'v', 'n': [1, 2]} }}|{{ ('a', 1) }}|{{ \"it's\" ~ ['it\\'s', 'q\"'] }}",
    "{{ messages[0].missing is defined }}|{{ messages[0].get('missing', 'd') }}|{{ messages[0]['role'] }}|{{ messages | length }}|{{ messages | map(attribute='role') | join(',') }}",
    "{{ messages[-1].role }}|{{ messages[:1] | length }}|{{ messages[1:-1] | length }}|{{ 'abcdef'[1:4] }}|{{ 'abc'[::-1] }}|{{ [1,2,3,4][::2] }}",
    "{% for i in range(5) %}{{ i }}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}|{% for i in range(3, 0, -1) %}{{ loop.index }}{{ loop.revindex0 }}{{ loop.first }}{% endfor %}|{% for i in [] %}x{% else %}empty{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index0 }}{{ m.role }}{% endfor %}|{% for m in messages | selectattr('role', 'equalto', 'user') %}{{ loop.length }}{% endfor %}|{{ messages | rejectattr('role', 'equalto', 'user') | list | length }}",
    "{% set x = 1 %}{% for i in range(2) %}{% set x = 2 %}{% endfor %}{{ x }}|{% set ns = namespace(x=1) %}{% for i in range(2) %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}|{% if true %}{% set y = 5 %}{% endif %}{{ y }}",
    "{{ 'a,b,,c'.split(',') | length }}|{{ 'a b  c'.split() | join('-') }}|{{ 'x</think>y</think>z'.split('</think>')[-1] }}|{{ 'a-b-c'.split('-', 1)[1] }}|{{ 'aXbX'.replace('X', 'y') }}|{{ 'Abc' | lower ~ 'abc' | upper }}|{{ 'hello world' | title }}|{{ 'hello' | capitalize }}",
    "{{ 'user' in ['user', 'tool'] }}|{{ 'b' in 'abc' }}|{{ 'role' in messages[0] }}|{{ 'x' not in messages[0] }}|{{ 1 in [1, 2] }}|{{ 1 == 1.0 }}|{{ 'a' != 'b' }}|{{ not '' }}|{{ '' or 'd' }}|{{ 'a' and 'b' }}",
    "{{ {'a': 1, 'é': ['x', none, true, 1.5], 'q': '\"\\n<&>'} | tojson }}|{{ [] | tojson }}|{{ {} | tojson(indent=2) }}|{{ {'b': [1, {'c': 2}]} | tojson(indent=2) }}|{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}|{{ [1, 2] | tojson(separators=(',', ':')) }}|{{ 'é' | tojson(ensure_ascii=true) }}",
    "  {%- if true %}\n    a\n  {% endif %}\n\n  {% set z = 1 -%}\n   b\n{# a comment #}\nc {#- another -#} d\n{{ z }}\n\n",
    "a\n  {% if false %}x{% elif true %}y{% else %}z{% endif %}  \n\t{{ 'end' }}\n",
    "{{ messages[0].content | default('none', true) }}|{{ nothing | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}|{{ nothing is none }}|{{ none is none }}|{{ 'a' if nothing else 'b' }}|{{ 'only' if false }}",
    "{{ 'a' is string }}|{{ 1 is number }}|{{ {} is mapping }}|{{ [] is sequence }}|{{ 'a' is iterable }}|{{ true is boolean }}|{{ 1 is integer }}|{{ 3 is odd }}|{{ messages is iterable and messages is not string }}|{{ false is false }}|{{ 1 is true }}",
    "{% macro m(a, b='B') %}[{{ a }}{{ b }}{{ caller() if caller else '' }}]{% endmacro %}{{ m('x') }}{{ m('x', b='y') }}{% call m('z') %}inner{% endcall %}",
    "{{ strftime_now('%d %B %Y %H:%M:%S %A %a %b %y %I %p %m %%') }}",
    "{% set t %}block {{ 1 + 1 }}{% endset %}{{ t }}|{{ '%s' }}|{{ 'é😀' | length }}|{{ 'é😀x'[1:] }}|{{ 'A\\u00e9' }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% continue %}{% endif %}{{ m.role }};{% endfor %}{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
    "{{ messages[0].items() | list | length }}|{% for k, v in {'a': 1, 'b': none}.items() %}{{ k }}={{ v }};{% endfor %}|{% for k in {'x': 1} %}{{ k }}{% endfor %}|{{ {'b': 1, 'a': 2} | dictsort | length }}|{{ {'a': 1}.keys() | list | join }}",
    "{% generation %}{{ messages[0].content }}{% endgeneration %}|",
    "{{ [3, 1, 2] | sort | join(',') }}|{{ [1, 2] + [3] }}|{{ [1, 1, 2] | unique | list | length }}|{{ ['a', 'b'] | last }}|{{ 'abc' | first if false else 'n' }}|{{ 'a\\nb' | indent(2) }}|{{ ' 3 ' | int + 1 }}|{{ '2.5' | float }}|{{ -2 | abs }}",
]

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up a word – “exactly”",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}, "exact": {"type": "boolean"}}, "required": ["word"]},
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": {"word": "é<b>", "exact": True}}}

CONVERSATIONS = {
    "plain": [dict(role="user", content="Hi 😀")],
    "system": [dict(role="system", content=" Be brief. \n"), dict(role="user", content="\n2 + 2?\n"), dict(role="assistant", content="4"), dict(role="user", content="Sure?")],
    "thought": [
        dict(role="user", content="2 + 2?"),
        dict(role="assistant", content="<think>\n\nTwo and two.\n</think>\n\n4"),
        dict(role="user", content="And 3 + 3?"),
        dict(role="assistant", content="\n6", reasoning_content="\nThree and three.\n", thinking="\nThree and three.\n"),
    ],
    "tools": [
        dict(role="system", content="Use tools."),
        dict(role="user", content="What is é?"),
        dict(role="assistant", content="", tool_calls=[CALL]),
        dict(role="tool", content='{"meaning": "a letter"}', name="look_up", tool_call_id="c1"),
        dict(role="tool", content="second", name="look_up", tool_call_id="c2"),
        dict(role="assistant", content="A letter."),
        dict(role="user", content="Thanks"),
    ],
    "two_users": [dict(role="user", content="a"), dict(role="user", content="b")],
}

FAMILIES = dict(chatml=CHATML, thinking=THINKING, headers=HEADERS, distilled=DISTILLED, macros=MACROS)
SWITCHES = dict(thinking="enable_thinking", macros="thinking")


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(template, messages, **more):
    try:
        texts, _ = render_jinja_template([messages], chat_template=template, bos_token="<s>", eos_token="</s>", **more)
        return texts[0]
    except Exception as error:
        print(f"refused: {error}")
        return None


if __name__ == "__main__":
    chat_template_utils.datetime = Clock
    cases = []
    for family, template in FAMILIES.items():
        for name, messages in CONVERSATIONS.items():
            if family in ("chatml", "macros") and any("tool_calls" in message for message in messages):
                continue
            if family in ("chatml", "macros", "headers", "distilled") and any("reasoning_content" in message for message in messages):
                continue
            for prompt in (False, True):
                for thinking in (None, False, True) if family in SWITCHES else (None,):
                    for tools in (None, [TOOL]) if family in ("thinking", "headers") else (None,):
                        more = {} if thinking is None else {SWITCHES[family]: thinking}
                        text = render(template, messages, tools=tools, add_generation_prompt=prompt, **more)
                        cases.append(dict(template=family, conversation=name, prompt=prompt, thinking=thinking, tools=tools is not None, text=text))
    constructs = [dict(template=template, text=render(template, CONVERSATIONS["system"])) for template in CONSTRUCTS]
    assert all(construct["text"] is not None for construct in constructs)
    write_json(OUT, dict(now=NOW.isoformat(), templates=FAMILIES, conversations=CONVERSATIONS, tool=TOOL, cases=cases, constructs=constructs))
