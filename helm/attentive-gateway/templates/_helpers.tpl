{{/* Names. A name is cut at 52 characters, for the parts that are added and Kubernetes' limit of 63. */}}
{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.secretName" -}}
{{- default (include "gateway.fullname" .) .Values.secrets.name -}}
{{- end -}}

{{- define "gateway.configMapName" -}}
{{- default (printf "%s-config" (include "gateway.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "gateway.serviceAccountName" -}}
{{- $made := ternary (include "gateway.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{/* Called with a component. */}}
{{- define "gateway.image" -}}
{{- $image := .root.Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Labels. Called with (dict "root" $ "component" "gateway"), and "labels" with more of them. */}}
{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "gateway.labels" -}}
{{- $ours := fromYaml (include "gateway.selector" .) -}}
{{- $_ := set $ours "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) (default (dict) .labels) $ours) -}}
{{- end -}}

{{/* The same for pods, without versions: the trial Redis must not be replaced by an upgrade of the chart. */}}
{{- define "gateway.podLabels" -}}
{{- $ours := fromYaml (include "gateway.selector" .) -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) (default (dict) .labels) $ours) -}}
{{- end -}}

{{/* An object's metadata. Called with (dict "root" $ "name" … "component" … "labels" … "annotations" …). */}}
{{- define "gateway.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "gateway.labels" . | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The sources and destinations as YAML, given as a map or as text. What cannot be right ends the rendering. */}}
{{- define "gateway.config" -}}
{{- $config := .Values.config -}}
{{- if kindIs "string" $config -}}
{{- $config = fromYaml $config -}}
{{- if hasKey $config "Error" -}}{{- fail (printf "config: is no YAML of destinations and sources: %s" $config.Error) -}}{{- end -}}
{{- end -}}
{{- range $part := list "destinations" "sources" -}}
{{- if not (kindIs "map" (get $config $part)) -}}
{{- fail (printf "config.%s: must be there, as names with the settings of each below" $part) -}}
{{- end -}}
{{- range $name, $one := get $config $part -}}
{{- if not (kindIs "map" $one) -}}
{{- fail (printf "config.%s.%s: must have settings below it" $part $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $destination := $config.destinations -}}
{{- if not (kindIs "map" (default (dict) $destination.api_token)) -}}
{{- fail (printf "config.destinations.%s.api_token: a secret must not stand here; give api_token_env or api_token_file" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $source := $config.sources -}}
{{- if not (kindIs "map" (default (dict) $source.write_key)) -}}
{{- fail (printf "config.sources.%s.write_key: a secret must not stand here; give write_key_env or write_key_file" $name) -}}
{{- end -}}
{{- range $key := $source.write_keys -}}
{{- if not (and (kindIs "map" $key) (kindIs "map" (default (dict) $key.key))) -}}
{{- fail (printf "config.sources.%s.write_keys: a secret must not stand here; give {key: {env: VARIABLE}} or {key: {file: PATH}}" $name) -}}
{{- end -}}
{{- end -}}
{{- range $secret := (default (dict) $source.signing).secrets -}}
{{- if not (kindIs "map" $secret) -}}
{{- fail (printf "config.sources.%s.signing.secrets: a secret must not stand here; give {env: VARIABLE} or {file: PATH}" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "gateway.hasConfig" -}}
{{- if or .Values.config .Values.existingConfigMap -}}true{{- end -}}
{{- end -}}

{{/* How the workers are scaled: keda, hpa, or nothing. */}}
{{- define "gateway.workerScaling" -}}
{{- with .Values.worker.autoscaling -}}
{{- if .enabled -}}
{{- $keda := $.Capabilities.APIVersions.Has "keda.sh/v1alpha1" -}}
{{- if eq .kind "auto" -}}{{- ternary "keda" "hpa" $keda -}}{{- else -}}{{- .kind -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* PromQL: the series of this release alone. */}}
{{- define "gateway.series" -}}
namespace="{{ .Release.Namespace }}",service=~"{{ include "gateway.fullname" . }}-(admin|worker)"
{{- end -}}

{{/* Egress that gateways and workers share: DNS and Redis. */}}
{{- define "gateway.egress" -}}
# DNS
- {{- with .Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
# Redis
- {{- if .Values.redis.trial.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "gateway.selector" (dict "root" . "component" "redis") | nindent 10 }}
  {{- else if .Values.networkPolicy.redisTo }}
  to:
    {{- toYaml .Values.networkPolicy.redisTo | nindent 4 }}
  {{- end }}
  ports:
    {{- range ternary (list 6379) .Values.networkPolicy.redisPorts .Values.redis.trial.enabled }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* Attentive, and for the console an identity provider. Called with the values of networkPolicy. */}}
{{- define "gateway.internet" -}}
# Attentive
- ports:
    - {port: 443, protocol: TCP}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        {{- with .privateNetworks }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    - ipBlock:
        cidr: ::/0
        {{- with .privateNetworksIPv6 }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
{{- end -}}
