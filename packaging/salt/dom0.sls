{% from 'rulecast/names.jinja' import names with context %}
# Who may call whom, and which qubes run what.
/etc/qubes/policy.d/30-rulecast.policy:
  file.managed:
    - source: salt://rulecast/30-rulecast.policy
    - user: root
    - group: qubes
    - mode: '0664'

rulecast-management-tags:
  qvm.tags:
    - name: {{ names.management }}
    - add: [rulecast-management]

rulecast-management-service:
  qvm.service:
    - name: {{ names.management }}
    - enable: [rulecast-publisher]

{% for firewall in names.firewalls %}
rulecast-{{ firewall }}-tags:
  qvm.tags:
    - name: {{ firewall }}
    - add: [rulecast-firewall]

rulecast-{{ firewall }}-service:
  qvm.service:
    - name: {{ firewall }}
    - enable: [rulecast]

# Where it calls, and whom it trusts once that is known: its template has neither.
rulecast-{{ firewall }}-features:
  qvm.features:
    - name: {{ firewall }}
    - set:
      - vm-config.rulecast-connect: 'exec:qrexec-client-vm?arg={{ names.management }}&arg=rulecast.Subscribe'
{% if names.trust %}
      - vm-config.rulecast-trust: '{{ names.trust }}'
{% endif %}
{% endfor %}
