//! What is read of a folder of manifests, and what do its tests say?

use bartizan_playbook::manifests::{Folder, Source, read};
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Settings, translate};
use expect_test::expect;

const SHOP: &str = "\
# The shop.
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: red}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {tier: web}}
  template:
    metadata: {labels: {tier: web}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: cache, namespace: shop, labels: {tier: cache}}
  spec: {containers: [{name: c, ports: [{name: redis, containerPort: 6379}]}]}
  status: {podIP: 10.1.0.9}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: other, namespace: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web-to-cache
  namespace: shop
  labels:
    np.panw.com/appid: redis
    np.panw.com/vuln-protection: strict
spec:
  podSelector: {matchLabels: {tier: cache}}
  ingress:
  - from: [{podSelector: {matchLabels: {tier: web}}}]
    ports: [{port: redis}]
";

const TESTS: &str = "\
tests:
- {name: web reads the cache, from: shop/web, to: shop/cache, port: redis, app: redis, expect: allow,
   profiles: {vuln-protection: strict, antivirus: none}, policy: shop/web-to-cache}
- {name: only as redis, from: shop/web, to: shop/cache, port: 6379, app: ssl, expect: deny}
- {name: nobody else, from: 203.0.113.9, to: shop/cache, port: 6379, app: redis, expect: deny}
- {name: no policy is about the web, from: 203.0.113.9, to: shop/web, port: http, expect: allow}
- {name: wrong, from: shop/wep, to: shop/cache, port: 6379, expect: allow}
- {name: wrong too, from: shop/web, to: shop/cache, port: 6379, app: redis, expect: deny}
- {name: and this, from: shop/web, to: shop/cache, port: redis, app: redis, expect: allow, profiles: {antivirus: x, virus: y}}
";

fn folder(files: &[(&str, &str)]) -> Folder {
    let sources: Vec<Source> =
        files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
    read(&sources)
}

#[test]
fn tests_are_decided_by_the_rules_that_would_be_pushed() {
    let folder = folder(&[("shop.yaml", SHOP), ("shop.test.yaml", TESTS)]);
    assert_eq!(folder.problems, Vec::<String>::new());
    assert_eq!(folder.passed_over.get("ConfigMap"), Some(&1));
    let settings = Settings { cluster: "c1".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 100 };
    let plan = translate(&settings, &folder.policies, &folder.snapshot).unwrap();
    let trial = Trial::new(&plan, &folder.snapshot);
    let lines: Vec<String> = folder
        .tests
        .iter()
        .map(|test| {
            let outcome = trial.run(test);
            let what = if outcome.failures.is_empty() { outcome.found } else { outcome.failures.join("\n  ") };
            format!("{}: {what}\n", outcome.name)
        })
        .collect();
    expect![[r#"
        web reads the cache: allowed by np.c1.shop.web-to-cache.i0.d5ba9d01 (NetworkPolicy shop/web-to-cache spec.ingress[0]), vulnerability strict
        only as redis: denied by np.c1.default-deny-ingress.8081ab8a (What no NetworkPolicy allows of pods that policies are about)
        nobody else: denied by np.c1.default-deny-ingress.8081ab8a (What no NetworkPolicy allows of pods that policies are about)
        no policy is about the web: allowed by np.c1.rest-in.6c6a21b3 (Pods that no policy is about may talk, as in Kubernetes)
        wrong: from: `shop/wep` is no pod or workload of the folder: did you mean `shop/web`?
        wrong too: should be denied, is allowed by np.c1.shop.web-to-cache.i0.d5ba9d01 (NetworkPolicy shop/web-to-cache spec.ingress[0]), vulnerability strict
        and this: antivirus should be `x`, is `none`: allowed by np.c1.shop.web-to-cache.i0.d5ba9d01 (NetworkPolicy shop/web-to-cache spec.ingress[0]), vulnerability strict
          profiles: `virus` is none of antivirus, spyware, vuln-protection, urlfiltering, fileblocking, datafiltering, wildfire, ai-security, profile-group
    "#]].assert_eq(&lines.concat());
}

#[test]
fn everything_wrong_in_any_file_is_told_with_its_line() {
    let bad = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: shop}
spec:
  podSelector: {}
  ingres: []
---

# Twice.
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: shop}
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: b}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: c, annotations: {np.panw.com/appids: ssl}}
spec: {podSelector: {}, ingress: [{ports: [{port: 99999}]}]}
";
    let tests = "tests:\n- {name: t, from: a/b, to: c/d, expect: maybe}\n";
    let folder = folder(&[("shop.yaml", SHOP), ("bad.yaml", bad), ("bad.test.yaml", tests)]);
    expect![[r#"
        bad.yaml:1: error: line 6 column 3: unknown field `ingres`, expected one of podSelector, policyTypes, ingress, egress
        bad.yaml:10: Pod shop/cache is in shop.yaml:19 items[0] already
        bad.yaml:14: `extensions/v1beta1` has no NetworkPolicy: `networking.k8s.io/v1` has
        bad.yaml:19: NetworkPolicy default/c: metadata.annotations[np.panw.com/appids]: `appids` is no attribute of a firewall rule: did you mean `appid`?
        bad.yaml:19: NetworkPolicy default/c: spec.ingress[0].ports[0].port: 99999 is no port: they go from 1 to 65535
        bad.test.yaml:1: error: line 2 column 41: unknown variant `maybe`, expected one of allow, deny
    "#]].assert_eq(&(folder.problems.join("\n") + "\n"));
}
