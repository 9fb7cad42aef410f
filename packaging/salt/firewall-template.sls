{% from 'rulecast/names.jinja' import names with context %}
{% from 'rulecast/package.jinja' import installed with context %}
{{ installed('rulecast-firewall', names.version) }}

# dom0 says both to each firewall, by features.
/etc/rulecast/subscriber.env:
  file.managed:
    - makedirs: True
    - mode: '0644'
    - contents:
      - RULECAST_TRUST=qubesdb:/vm-config/rulecast-trust
      - RULECAST_CONNECT=qubesdb:/vm-config/rulecast-connect

{% for unit in ['rulecast-boot', 'rulecast-subscriber'] %}
{{ unit }}:
  service.enabled:
    - require:
      - pkg: rulecast-firewall-package
{% endfor %}
