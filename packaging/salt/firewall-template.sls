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
{% if names.dns %}
      - RULECAST_NAMES=/run/rulecast-dns/names.sock
      - RULECAST_OPENINGS=/run/rulecast-openings/openings.sock
      - RULECAST_DNS_MODE=own
      - RULECAST_DNS=/etc/resolv.conf

# Names at the time of use: answered by the firewall, which asks these.
/etc/rulecast/dns.env:
  file.managed:
    - makedirs: True
    - mode: '0644'
    - contents: 'RULECAST_OPTIONS={% for upstream in names.dns %}{{ '' if loop.first else ' ' }}--upstream {{ upstream }}{% endfor %}'
{% endif %}

{% for unit in ['rulecast-boot', 'rulecast-subscriber'] + (['rulecast-dns.socket', 'rulecast-dns'] if names.dns else []) %}
{{ unit }}:
  service.enabled:
    - require:
      - pkg: rulecast-firewall-package
{% endfor %}
