{{/*
The firewall's pod. Its data port is one end of a pair of devices; the other end is the pod's own stack, which hands it
the tunnels (UDP 6080) and health checks (TCP 443) that come for the pod's address, and sends what it routes out under
that address. So it works with every CNI plugin, those included that drop foreign source addresses.
*/}}
{{- define "pan.firewallPod" -}}
{{- $fw := .Values.firewall -}}
metadata:
  labels: {{- include "pan.labels" (list . "firewall") | nindent 4 }}
  annotations:
    paloaltonetworks.com/app: pan-fw
    # Its own traffic is not sent to a firewall.
    paloaltonetworks.com/firewall: none
    checksum/config: {{ include (print .Template.BasePath "/firewall-configmap.yaml") . | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 15
  nodeSelector:
    kubernetes.io/os: linux
    {{- with (eq $fw.mode "daemonset" | ternary (merge (dict) $fw.nodeSelector .Values.nodeSelector) $fw.nodeSelector) }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with (eq $fw.mode "daemonset" | ternary (concat $fw.tolerations .Values.tolerations) $fw.tolerations) }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    seccompProfile: {type: RuntimeDefault}
  initContainers:
    - name: data-port
      image: {{ $fw.image | quote }}
      imagePullPolicy: IfNotPresent
      command:
        - /bin/sh
        - -euc
        - |
          {{- include "pan.dataPort" . | nindent 10 }}
      securityContext:
        runAsUser: 0
        readOnlyRootFilesystem: true
        {{- if $fw.setForwarding }}
        # Only such a container may write /proc/sys.
        privileged: true
        {{- else }}
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL], add: [NET_ADMIN]}
        {{- end }}
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 64Mi}
  containers:
    - name: firewall
      image: {{ $fw.image | quote }}
      imagePullPolicy: IfNotPresent
      command: [bartizan, firewall]
      args:
        {{- if $fw.manager }}
        - --manager={{ $fw.manager }}
        {{- else }}
        - --config=/etc/bartizan/firewall.xml
        {{- end }}
        - --port=ethernet1/1=eth1
        - --io=af-packet
        - --workers={{ $fw.workers }}
        - --sessions-max={{ $fw.sessionsMax | int64 }}
        - --ring-mib={{ $fw.ringMib }}
      {{- if $fw.manager }}
      env:
        - name: BARTIZAN_AUTH_KEY
          valueFrom: {secretKeyRef: {name: {{ $fw.authKeySecret.name }}, key: {{ $fw.authKeySecret.key }}}}
      {{- end }}
      ports:
        - {name: vxlan, containerPort: 6080, protocol: UDP}
        - {name: health, containerPort: 443, protocol: TCP}
      startupProbe:
        exec: {command: [bartizan, show, system, info]}
        periodSeconds: 1
        failureThreshold: 60
        timeoutSeconds: 5
      livenessProbe:
        exec: {command: [bartizan, show, system, info]}
        periodSeconds: 20
        timeoutSeconds: 10
      readinessProbe:
        exec: {command: [bartizan, show, system, info]}
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{- toYaml $fw.resources | nindent 8 }}
      securityContext:
        runAsUser: 0
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        # Packet sockets and the state of the data port.
        capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}
      volumeMounts:
        - {name: state, mountPath: /var/lib/bartizan}
        {{- if not $fw.manager }}
        - {name: config, mountPath: /etc/bartizan, readOnly: true}
        {{- end }}
  volumes:
    {{- if and $fw.manager (eq $fw.mode "daemonset") }}
    # The serial number outlives the pod.
    - {name: state, hostPath: {path: /var/lib/bartizan-firewall, type: DirectoryOrCreate}}
    {{- else }}
    - {name: state, emptyDir: {sizeLimit: 1Gi}}
    {{- end }}
    {{- if not $fw.manager }}
    - {name: config, configMap: {name: bartizan-firewall}}
    {{- end }}
{{- end -}}

{{/* What the container data-port runs. */}}
{{- define "pan.dataPort" -}}
mtu=$(ip -o link show dev eth0 | sed 's/.* mtu \([0-9]*\) .*/\1/')
ip link show dev eth1 >/dev/null 2>&1 || ip link add data0 type veth peer name eth1
ip address replace 169.254.60.1/30 dev data0
ip link set data0 mtu "$mtu" up
ip link set eth1 mtu "$mtu" up
if [ "$(cat /proc/sys/net/ipv4/ip_forward)" != 1 ]; then
  echo 1 > /proc/sys/net/ipv4/ip_forward || {
    echo "IPv4 forwarding is off in this pod, and this container may not switch it on: set firewall.setForwarding" >&2
    exit 1
  }
fi
nft -f - <<'RULES'
table ip bartizan
delete table ip bartizan
table ip bartizan {
  # The firewall takes frames of its port before this; the pod's stack is not to route them, too.
  chain port {
    type filter hook prerouting priority -300;
    iifname "eth1" drop
  }
  chain in {
    type nat hook prerouting priority -100;
    iifname "eth0" udp dport 6080 dnat to 169.254.60.2
    iifname "eth0" tcp dport 443 dnat to 169.254.60.2
  }
  chain out {
    type nat hook postrouting priority 100;
    ip saddr 169.254.60.2 oifname "eth0" masquerade
  }
}
RULES
{{- end -}}

{{/* The configuration of firewalls in the cluster that have no other: everything is allowed and logged. */}}
{{- define "pan.firewallConfig" -}}
<config version="11.2.0">
  <devices><entry name="localhost.localdomain">
    <network>
      <profiles><interface-management-profile>
        <entry name="health"><ping>yes</ping><https>yes</https></entry>
      </interface-management-profile></profiles>
      <interface><ethernet>
        <entry name="ethernet1/1"><layer3>
          <ip><entry name="169.254.60.2/30"/></ip>
          <interface-management-profile>health</interface-management-profile>
        </layer3></entry>
      </ethernet></interface>
      <logical-router><entry name="default"><vrf><entry name="default">
        <interface><member>ethernet1/1</member></interface>
        <routing-table><ip><static-route>
          <entry name="cluster">
            <destination>0.0.0.0/0</destination>
            <nexthop><ip-address>169.254.60.1</ip-address></nexthop>
          </entry>
        </static-route></ip></routing-table>
      </entry></vrf></entry></logical-router>
    </network>
    <vsys><entry name="vsys1">
      <import><network><interface><member>ethernet1/1</member></interface></network></import>
      <zone>
        <entry name="cluster"><network><layer3><member>ethernet1/1</member></layer3></network></entry>
        <entry name="pods"><network><layer3/></network></entry>
      </zone>
      <traffic-object>
        <entry name="cluster-{{ .Values.clusterid }}"><k8s-cluster>
          <cluster-id>{{ .Values.clusterid }}</cluster-id>
          {{- with .Values.firewall.clusterCidr }}
          <cluster-cidr>{{ range splitList "," . }}<member>{{ trim . }}</member>{{ end }}</cluster-cidr>
          {{- end }}
          <network><logical-router>default</logical-router><zone-ingress>pods</zone-ingress>
            <interface><member>ethernet1/1</member></interface></network>
        </k8s-cluster></entry>
      </traffic-object>
      <rulebase>
        <nat><rules>
          <entry name="out-of-this-pod">
            <from><member>pods</member></from><to><member>cluster</member></to>
            <source><member>any</member></source><destination><member>any</member></destination>
            <service>any</service>
            <source-translation><dynamic-ip-and-port><interface-address>
              <interface>ethernet1/1</interface>
            </interface-address></dynamic-ip-and-port></source-translation>
          </entry>
        </rules></nat>
        <security><rules>
          <entry name="inspect-all">
            <from><member>any</member></from><to><member>any</member></to>
            <source><member>any</member></source><destination><member>any</member></destination>
            <application><member>any</member></application><service><member>any</member></service>
            <action>allow</action><log-end>yes</log-end>
          </entry>
        </rules></security>
      </rulebase>
    </entry></vsys>
  </entry></devices>
</config>
{{- end -}}
