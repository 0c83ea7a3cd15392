{{/* Labels of an object; call with (list . "component"). */}}
{{- define "pan.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Labels by which a workload finds its pods; call with (list . "component"). */}}
{{- define "pan.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The firewalls' addresses as JSON: {"list": [{"address", "zone"}]}. Says what is wrong with them. */}}
{{- define "pan.endpoints" -}}
{{- $list := list -}}
{{- $seen := dict -}}
{{- range $one := splitList "," (.Values.endpoints | default "") -}}
  {{- $address := trim $one -}}
  {{- if $address -}}
    {{- if hasKey $seen $address }}{{ fail (printf "\n\n`endpoints` names %s twice: remove one.\n" $address) }}{{ end -}}
    {{- $_ := set $seen $address "endpoints" -}}
    {{- $list = append $list (dict "address" $address "zone" "") -}}
  {{- end -}}
{{- end -}}
{{- range $key, $value := .Values -}}
  {{- if regexMatch "^endpoints[1-9][0-9]*$" $key -}}
    {{- $zone := index $.Values (printf "%szone" $key) | default "" -}}
    {{- if $value -}}
      {{- if hasKey $seen $value }}{{ fail (printf "\n\n`%s` and `%s` both are %s: each zone has an endpoint of its own. Remove one.\n" (index $seen $value) $key $value) }}{{ end -}}
      {{- $_ := set $seen $value $key -}}
      {{- $list = append $list (dict "address" $value "zone" $zone) -}}
    {{- else if $zone -}}
      {{- fail (printf "\n\n`%szone` names the zone %s, but `%s` is empty: write the address of that zone's endpoint, or remove both keys.\n" $key $zone $key) -}}
    {{- end -}}
  {{- else if regexMatch "^endpoints[1-9][0-9]*zone$" $key -}}
    {{- if and $value (not (hasKey $.Values (trimSuffix "zone" $key))) -}}
      {{- fail (printf "\n\n`%s` names the zone %s, but there is no `%s`: write the address of that zone's endpoint, or remove the key.\n" $key $value (trimSuffix "zone" $key)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "list" $list) -}}
{{- end -}}

{{/* The node's folder with CNI configuration. */}}
{{- define "pan.netDir" -}}
{{- .Values.cni.netDir | default (eq .Values.deployTo "openshift" | ternary "/etc/cni/multus/net.d" "/etc/cni/net.d") -}}
{{- end -}}

{{/* The node's folder with CNI plugins. */}}
{{- define "pan.binDir" -}}
{{- $known := dict "gke" "/home/kubernetes/bin" "openshift" "/var/lib/cni/bin" -}}
{{- .Values.cni.binDir | default (index $known .Values.deployTo) | default "/opt/cni/bin" -}}
{{- end -}}

{{/* What a schema cannot say about the values. Included by the DaemonSet, which every installation has. */}}
{{- define "pan.check" -}}
{{- if eq .Values.deployTo "gke" -}}
  {{- range (lookup "v1" "Node" "" "").items -}}
    {{- if hasPrefix "gk3-" .metadata.name -}}
      {{- fail (printf "\n\nThis is a GKE Autopilot cluster (node %s). Autopilot refuses changes in kube-system, host paths and\nnetwork capabilities, so no CNI plugin can be installed there. Use a GKE Standard cluster.\n" .metadata.name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $endpoints := (include "pan.endpoints" . | fromJson).list -}}
{{- $mode := .Values.firewall.mode -}}
{{- if and (eq $mode "remote") (not $endpoints) -}}
  {{- fail "\n\nNo firewall is named. Write its address, or that of the load balancer in front of it, into `endpoints`, or one for\neach zone into `endpoints1` and `endpoints1zone`, `endpoints2` and so on. Or let the firewalls run in the cluster:\n`firewall.mode: daemonset` or `service`.\n" -}}
{{- end -}}
{{- if and (ne $mode "remote") $endpoints -}}
  {{- fail (printf "\n\n`firewall.mode: %s` runs the firewalls in the cluster and finds them by itself: remove the endpoints, or set it\nto `remote`.\n" $mode) -}}
{{- end -}}
{{- with .Values.firewall -}}
  {{- if and .clusterCidr (or (eq $mode "remote") .manager .config) -}}
    {{- fail "\n\n`firewall.clusterCidr` is for the configuration that this chart makes for firewalls in the cluster, and yours comes from\nelsewhere: write the ranges into `cluster-cidr` of its traffic object, and remove this.\n" -}}
  {{- end -}}
  {{- if and .manager .config -}}
    {{- fail "\n\n`firewall.manager` and `firewall.config` are both set: a firewall has its configuration from a manager or from here.\nRemove one.\n" -}}
  {{- end -}}
  {{- if and .manager (not .authKeySecret.name) -}}
    {{- fail "\n\n`firewall.manager` is set, but not `firewall.authKeySecret.name`: make an auth key on the manager, put it into a\nSecret and name that.\n" -}}
  {{- end -}}
  {{- if gt (int .autoscaling.min) (int .autoscaling.max) -}}
    {{- fail (printf "\n\n`firewall.autoscaling.min` is %d, more than `max`, which is %d.\n" (int .autoscaling.min) (int .autoscaling.max)) -}}
  {{- end -}}
{{- end -}}
{{- with .Values.controller -}}
  {{- if .enabled -}}
    {{- range $key := list "manager" "cluster" -}}
      {{- if not (index $.Values.controller $key) -}}
        {{- fail (printf "\n\n`controller.enabled` is set, but not `controller.%s`.\n" $key) -}}
      {{- end -}}
    {{- end -}}
    {{- if not .apiKeySecret.name -}}
      {{- fail "\n\n`controller.enabled` is set, but not `controller.apiKeySecret.name`: make an API key on the manager, put it into a\nSecret and name that.\n" -}}
    {{- end -}}
    {{- if and .caSecret.name .fingerprint -}}
      {{- fail "\n\n`controller.caSecret` and `controller.fingerprint` are both set: the manager is known by one of them. Remove one.\n" -}}
    {{- end -}}
    {{- with .webhook -}}
      {{- if and .enabled .caBundle (not .certSecret) -}}
        {{- fail "\n\n`controller.webhook.caBundle` is set, but not `certSecret`: the chart makes a certificate of its own, which is not of\nthat authority. Name the Secret with the certificate, or remove `caBundle`.\n" -}}
      {{- end -}}
      {{- if and .enabled .certSecret (not .caBundle) (not .annotations) -}}
        {{- fail "\n\n`controller.webhook.certSecret` is set, but neither `caBundle` nor an annotation that has it put in: the API server\ncould not know the certificate.\n" -}}
      {{- end -}}
    {{- end -}}
    {{- if and .labelFilters (ne .labels "custom") -}}
      {{- fail (printf "\n\n`controller.labelFilters` has an effect with `controller.labels: custom` only; it is `%s`.\n" .labels) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* Security context of a container that needs no rights. */}}
{{- define "pan.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Name of the Lease that says which controller leads. */}}
{{- define "pan.lease" -}}
bartizan-controller-{{ .Values.controller.cluster | lower | replace "_" "-" }}
{{- end -}}
