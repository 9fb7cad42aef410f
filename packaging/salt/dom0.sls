{% from 'rulecast/names.jinja' import names with context %}
# Tags, services, features and the policy, as by hand: it changes nothing that is right.
rulecast-dom0:
  cmd.script:
    - source: salt://rulecast/rulecast-dom0
    - args: '{{ names.management }} {{ names.firewalls | join(' ') }}'
