# A Postfix that takes mail for anybody from whoever logs in over TLS at port 587, and keeps it for root.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout /etc/postfix/relay.key \
  -out /etc/postfix/relay.pem -subj /CN=relay.windlass.test -addext subjectAltName=DNS:relay.windlass.test
postconf -e myhostname=relay.windlass.test mydestination=localhost inet_interfaces=all alias_maps= \
  mynetworks=127.0.0.0/8 smtpd_tls_security_level=encrypt smtpd_tls_auth_only=yes \
  smtpd_tls_cert_file=/etc/postfix/relay.pem smtpd_tls_key_file=/etc/postfix/relay.key \
  smtpd_sasl_auth_enable=yes smtpd_relay_restrictions=permit_sasl_authenticated,reject \
  virtual_alias_domains=elsewhere.test virtual_alias_maps=static:collector@localhost
postconf -M submission/inet='submission inet n - n - - smtpd'
mkdir -p /etc/postfix/sasl
printf 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n' > /etc/postfix/sasl/smtpd.conf
printf '%s' 'pass word: #1' | saslpasswd2 -p -c -u relay.windlass.test windlass
chgrp postfix /etc/sasldb2
chmod 0640 /etc/sasldb2
id collector >/dev/null 2>&1 || useradd --create-home collector
systemctl restart postfix
