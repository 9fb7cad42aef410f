{% from 'rulecast/names.jinja' import names with context %}
{% from 'rulecast/package.jinja' import installed with context %}
{{ installed('rulecast-firewall', names.version) }}
{% if names.dns %}

/etc/rulecast/subscriber.env:
  file.managed:
    - makedirs: True
    - mode: '0644'
    - contents:
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

{% for unit in ['rulecast-dns.socket', 'rulecast-dns'] %}
{{ unit }}:
  service.enabled:
    - require:
      - pkg: rulecast-firewall-package
{% endfor %}
{% endif %}
