# An rsyslog that takes lines over TLS at port 6514 and writes them to /var/log/collected.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout /etc/ssl/collector.key \
  -out /etc/ssl/collector.pem -subj /CN=collector.windlass.test -addext subjectAltName=DNS:collector.windlass.test
cat > /etc/rsyslog.conf <<'CONF'
global(maxMessageSize="64k" workDirectory="/var/spool/rsyslog" DefaultNetstreamDriver="ossl"
       DefaultNetstreamDriverCAFile="/etc/ssl/collector.pem"
       DefaultNetstreamDriverCertFile="/etc/ssl/collector.pem" DefaultNetstreamDriverKeyFile="/etc/ssl/collector.key")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="6514")
*.* action(type="omfile" file="/var/log/collected" template="RSYSLOG_SyslogProtocol23Format")
CONF
systemctl restart rsyslog
touch /etc/ssl/collector.done
