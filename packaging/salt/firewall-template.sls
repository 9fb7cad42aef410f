{% from 'rulecast/names.jinja' import names with context %}
{% from 'rulecast/package.jinja' import installed with context %}
{{ installed('rulecast-firewall', names.version) }}
